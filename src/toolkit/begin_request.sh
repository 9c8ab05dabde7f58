# shellcheck shell=sh disable=SC2154
# The code of a hook with one request, after its variables and the code of every hook.
reject() { "$RIGUP" hook failure --name "$name" --rejected "$1" && exit 0; }
# Rejects locations, which have no release date and can run scripts, except those that match the regular expression $1.
check_locations() {
    location=$(printf '%s\n' "$locations" | head -n 1)
    [ -z "$location" ] || [ -z "$must_keep_age" ] ||
        reject "cannot enforce min_release_age: $location has no release date"
    location=$(printf '%s\n' "$locations" | grep -vE "^\$${1+|$1}" | head -n 1) || :
    [ -z "$location" ] || [ "$run_scripts" ] ||
        reject "$location is not from a registry, so it can run scripts; allow them with --postinstall-scripts"
}
# Returns whether this is the first call with $1 in this data dir, or the first in $2 minutes.
once() {
    [ -z "${2-}" ] || [ -z "$(find "$stamps/$1" -mmin "+$2" 2>/dev/null)" ] || rm -f "$stamps/$1"
    (umask 077 && mkdir -p "$stamps" && set -C && : >"$stamps/$1") 2>/dev/null
}
# Fails if $foreign is in the place of the prefix, or of $part: it is not rigup's to replace.
check_place() { [ -z "$foreign" ] || fail "$foreign exists, and rigup did not make it; move it away"; }
# Makes the folder $part, to build in: a failure or a kill leaves the earlier prefix. If requirements share the prefix,
# $part begins as a copy of it, or of the file $1 in it.
part=$prefix.part
remove_part() {
    rm -rf "$part" 2>/dev/null || { [ ! -L "$part" ] && chmod -R u+rwx "$part" && rm -rf "$part"; } 2>/dev/null
}
make_part() {
    check_place
    trap 'trap "" HUP INT TERM; remove_part || :' EXIT
    trap 'exit 143' HUP INT TERM
    remove_part || fail "cannot remove $part, which belongs to another user"
    mkdir -p "${part%/*}"
    mkdir "$part" # fails if there is a link by now
    [ -z "$shared" ] || [ ! -e "$prefix/${1-.}" ] || cp -Rp "$prefix/${1-.}" "$part"
}
# Rejects the request if one of the paths in the value $2 of the setting $1 is relative: a hook does not start in the
# folder of the command.
check_paths() {
    path=$(printf '%s\n' "$2" | tr ', ' '[\n*]' | grep -vE '^([/~]|[A-Za-z+]+:|$)' | head -n 1) || :
    [ -z "$path" ] || reject "$1 has the relative path $path, which depends on the current folder; make it absolute"
}
# Makes uv use only those of its settings that say which packages it may choose, where they come from and how to get
# them. With an argument, not even those that name indexes.
filter_uv_settings() {
    unset PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR UV_LINK_MODE UV_PROJECT UV_SYSTEM_PYTHON UV_VENV_SEED UV_WORKING_DIR
    for variable in BUILD_CONSTRAINT CONSTRAINT EXCLUDE FIND_LINKS OVERRIDE; do
        eval "check_paths 'the variable UV_$variable' \"\${UV_$variable-}\""
    done
    keys="concurrent-builds concurrent-downloads concurrent-installs constraint-dependencies override-dependencies \
allow-insecure-host cache-dir http-proxy https-proxy keyring-provider native-tls no-cache no-proxy offline system-certs \
exclude-newer fork-strategy prerelease resolution required-version python-downloads python-downloads-json-url \
python-install-mirror python-preference pypy-install-mirror"
    if [ "$run_scripts" ]; then
        keys="$keys build-constraint-dependencies config-settings config-settings-package extra-build-dependencies \
extra-build-variables no-binary no-binary-package no-build-isolation no-build-isolation-package"
    else unset UV_NO_BINARY UV_NO_BINARY_PACKAGE; fi
    if [ "${1-}" ]; then
        unset UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX UV_INDEX_STRATEGY UV_INDEX_URL UV_NO_INDEX UV_TORCH_BACKEND
    else
        keys="$keys extra-index-url find-links index-strategy index-url no-index torch-backend index.authenticate \
index.cache-control index.default index.explicit index.format index.ignore-error-codes index.name index.url"
    fi
    # As uv does: one file that UV_CONFIG_FILE names, or that of the user and the first one of the system.
    user=${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml system=
    for folder in $(printf '%s\n' "${XDG_CONFIG_DIRS:-/etc/xdg}" | tr : '\n') /etc; do
        [ "$system" ] || [ ! -e "$folder/uv/uv.toml" ] || system=$folder/uv/uv.toml
    done
    if [ "${UV_CONFIG_FILE-}" ]; then
        check_paths 'the variable UV_CONFIG_FILE' "$UV_CONFIG_FILE"
        [ -e "$UV_CONFIG_FILE" ] || fail "UV_CONFIG_FILE names $UV_CONFIG_FILE, which does not exist"
        user=$UV_CONFIG_FILE system=
    elif [ "${UV_NO_CONFIG-}" ]; then
        case $UV_NO_CONFIG in 0 | [fFnN]* | [oO][fF]*) ;; *) user='' system='' ;; esac
    fi
    # shellcheck disable=SC2086 # no file is an empty word
    "$RIGUP" hook toml --keys "$(printf %s "$keys" | sed 's/[^ ]*/& pip.&/g')" ${user:+"$user"} ${system:+"$system"} >uv.toml ||
        exit 1
    export UV_CONFIG_FILE="$PWD/uv.toml"
    unset UV_NO_CONFIG
    # This empty file keeps uv from reading the project files of the folders above.
    : >pyproject.toml
}
