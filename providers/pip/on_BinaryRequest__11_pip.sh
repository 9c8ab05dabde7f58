#!/bin/sh
# pip: installs Python packages from PyPI, or from the indexes in pip's settings, with uv if it is on PATH, otherwise
# with pip.
# Each requirement has a venv of its own, LIB_DIR/pip/<name>, unless overrides.pip.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
fail() { echo "$1" >&2; exit 1; }
reject() { "$RIGUP" hook failure --name "$name" --rejected "$1" && exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider pip -- "$@")"
# Packages that are not releases in an index: URLs, files and repositories. A wheel runs nothing when it is installed.
for location in $locations; do
    [ -z "$must_keep_age" ] || reject "cannot enforce min_release_age: $location has no release date"
    case $location in
        *.whl | *.whl'#'*) ;;
        *) [ "$run_scripts" ] ||
            reject "$location is not from an index, so it can run scripts; allow them with --postinstall-scripts" ;;
    esac
done

# Settings of the caller that would install elsewhere, with another Python or without dependencies.
unset PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR UV_PROJECT UV_SYSTEM_PYTHON UV_VENV_SEED UV_WORKING_DIR
unset PIP_ABI PIP_EDITABLE PIP_IMPLEMENTATION PIP_PLATFORM PIP_PYTHON PIP_PYTHON_VERSION PIP_REPORT PIP_REQUIREMENT
export PIP_NO_DEPS=0 PIP_DRY_RUN=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off
# These empty files keep uv from reading the project files of the folders above.
: >uv.toml && : >pyproject.toml
[ -z "$cache" ] || export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$cache}"

# Prints pip's settings as key=value, the weakest first.
pip_settings() {
    {
        [ "${PIP_CONFIG_FILE:-}" = /dev/null ] || for file in /etc/xdg/pip/pip.conf /etc/pip.conf \
            "/Library/Application Support/pip/pip.conf" "${HOME:-}/.pip/pip.conf" \
            "${HOME:-}/Library/Application Support/pip/pip.conf" \
            "${XDG_CONFIG_HOME:-${HOME:-}/.config}/pip/pip.conf" "${PIP_CONFIG_FILE:-}"; do
            [ ! -r "$file" ] || { cat "$file" && echo; }
        done
        echo '[global]' && env | sed -n 's/^PIP_//p'
    } | awk '
        /^[ \t]*([#;]|$)/ { next }
        /^\[/ { is_other = !/^\[(global|install)\]/; next }
        is_other { next }
        /^[ \t]/ { print key " of several lines=yes"; next }
        match($0, /[ \t]*[=:][ \t]*/) {
            key = tolower(substr($0, 1, RSTART - 1)); gsub("_", "-", key)
            print key "=" substr($0, RSTART + RLENGTH)
        }'
}

# Hands the settings that choose indexes, certificates and proxies to uv. Fails if uv has no such setting.
hand_settings_to_uv() {
    for setting in $(pip_settings); do
        value=${setting#*=}
        case $setting in
            *= | no-index=[0fFnN]* | no-index=off) ;;
            index-url=*) export UV_DEFAULT_INDEX="$value" UV_INDEX_URL="$value" ;;
            extra-index-url=*) export UV_INDEX="$value" UV_EXTRA_INDEX_URL="$value" ;;
            find-links=*) UV_FIND_LINKS=$(echo "$value" | tr ' ' ,) && export UV_FIND_LINKS ;;
            no-index=*) no_index=--no-index ;;
            constraint=*) export UV_CONSTRAINT="$value" ;;
            trusted-host=*) export UV_INSECURE_HOST="$value" ;;
            cert=*) export SSL_CERT_FILE="${SSL_CERT_FILE:-$value}" ;;
            proxy=*) export ALL_PROXY="$value" HTTP_PROXY="$value" HTTPS_PROXY="$value" ;;
            *' of several lines='* | *binary=* | pre=* | *-releases=* | only-final=* | require-hashes=* | \
                build-constraint=* | client-cert=* | keyring-provider=* | uploaded-prior-to=* | upgrade-strategy=* | use-*=*)
                only_pip=${setting%%=*} && return 1
                ;;
        esac
    done
}

# Like pip itself, but unlike pip --python, this hook reads the settings of the venv or the Python on PATH.
python=$(command -v python3) || python=
case $python in
    */bin/*) python_prefix=${python%/bin/*} ;;
    ?*) python_prefix=$(python3 -c 'import sys; print(sys.prefix)') || python_prefix= ;;
esac
if [ "$python" ] && [ -f "$python_prefix/pip.conf" ]; then
    export PIP_CONFIG_FILE="${PIP_CONFIG_FILE:-$python_prefix/pip.conf}"
fi

only_pip='' no_index='' no_age=''
if command -v uv >/dev/null && hand_settings_to_uv; then
    no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
    make_venv() { uv venv --quiet "$part"; }
    install() { uv pip install --python "$part/bin/python" $no_index ${reinstall:+--reinstall} "$@"; }
else
    or_uv=", or put uv on PATH"
    if [ "$only_pip" ]; then or_uv=", because uv has no setting like pip's $only_pip"; fi
    [ "$python" ] || decline "python3 is not on PATH; install it with apt-get install python3 python3-pip$or_uv"
    pip=$(python3 -c 'import venv, pip; print(pip.__version__.split(".")[0])' 2>/dev/null) || pip=0
    [ "$pip" -gt 22 ] ||
        decline "python3 has no venv or no pip >= 23; install them with apt-get install python3-venv python3-pip$or_uv"
    no_build=--only-binary=:all: age=
    if [ "$pip" -gt 25 ]; then age=${released_before:+--uploaded-prior-to=$released_before}; fi
    if [ "$released_before" ] && [ -z "$age" ]; then
        no_age="pip $pip cannot enforce min_release_age"
        with_uv="install uv, which can: rigup install uv --binproviders pip"
        [ -z "$must_keep_age" ] || fail "$no_age; $with_uv --min-release-age 0"
    fi
    make_venv() { python3 -m venv --without-pip "$part"; }
    install() {
        python3 -m pip --python "$part/bin/python" install --no-compile --no-warn-script-location --log pip.log \
            --target= --root=/ --prefix="$part" --no-user ${reinstall:+--force-reinstall} "$@"
    }
fi

# Build beside the prefix: a failure or a kill leaves the working version. hook relocate makes the venv movable,
# except for the scripts that activate it.
part=$prefix.part reinstall=
trap 'rm -rf "$part"' EXIT
trap 'exit 143' HUP INT TERM
rm -rf "$part"
if [ "$prefix" != "$LIB_DIR/pip/$name" ] && [ -e "$prefix" ]; then
    reinstall=yes && cp -Rp "$prefix" "$part"
else
    make_venv >&2
    find "$part/bin" -iname '*activate*' -delete
fi
if [ "$run_scripts" ]; then no_build=; fi
# shellcheck disable=SC2086 # one package a line; the last of conflicting options counts
try() {
    code=0 && : >pip.log
    install $packages $no_build $age >&2 2>pip.err || code=$?
    cat pip.err >&2
    [ "$code" = 0 ]
}
seen() { grep -qE "$1" pip.err pip.log; }
no_dates() { seen 'missing an upload date|does not provide upload-time'; }
# Prints the first URL that could not be fetched, and why.
unreachable() {
    sed -nE 's/.*Could not fetch URL ([^ ]+): (connection error|There was a problem).*: ([^:]*) - skipping$/\1: \3/p
        s/.*Could not fetch URL ([^ ]+): (5[0-9]{2} .*) for url.*/\1: \2/p' pip.log | sed "s/[])'\"]*\$//" | head -n 1
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" pip.err | head -n 1)
    [ -z "$url" ] || echo "$url: $(sed -nE 's/^ *(cause|Caused by): //p' pip.err | tail -n 1)"
}
reason() { tail -n 1 pip.err | sed -E 's/^ *(ERROR|cause|hint): //'; }
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    url=$(unreachable)
    if no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
    [ -z "$url" ] ||
        fail "cannot reach the index: $url; check the network, and the index and the proxy in pip's configuration"
    if seen 'building.* is disabled|No (sources|binaries) permitted'; then
        fail "$(reason); a package that must be built needs --postinstall-scripts"
    fi
    fail "$(reason)"
}
"$RIGUP" hook relocate "$part"
# pip, uv and their versions write different launchers for the same program; rigup.lock needs the same file each time.
binary=$part/bin/$name
if [ -f "$binary" ] && [ "$(wc -l <"$binary")" -lt 15 ] && grep -q 'sys\.argv\[0\].*exe' "$binary"; then
    sed "/^import re\$/d; /^# -\*- coding/d; /sys\.argv\[0\]/d; s/'__main__'/\"__main__\"/" "$binary" >"$binary.part"
    chmod +x "$binary.part" && mv "$binary.part" "$binary"
fi

"$RIGUP" hook binary --provider pip --built "$part" --abspath "$prefix/bin/$name" -- "$@"
# One warning per LIB_DIR is enough.
if [ "$no_age" ] && mkdir -p "$LIB_DIR/.cache" && (set -C && : >"$LIB_DIR/.cache/pip-$pip-noted") 2>/dev/null; then
    warn "$no_age and installs the newest releases; $with_uv"
fi
