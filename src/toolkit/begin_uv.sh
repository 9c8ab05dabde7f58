# shellcheck shell=sh disable=SC2154
# The settings of uv, for a hook that runs uv.
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
