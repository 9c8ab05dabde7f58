#!/bin/sh
# pip: installs Python packages from PyPI, or from the indexes in pip's settings, with uv if it is on PATH, otherwise
# with pip.
# Each requirement has a venv of its own, LIB_DIR/pip/<name>, unless overrides.pip.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider pip -- "$@")"
# A wheel runs nothing when it is installed.
check_locations '^([A-Za-z0-9._-]+(\[[^]]*\])? *@ *)?((https?|file):|[./~])[^?#]*\.whl([?#].*)?$'

# Variables that choose another Python or another project.
unset PIP_PYTHON PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR UV_LINK_MODE UV_PROJECT UV_SYSTEM_PYTHON UV_VENV_SEED UV_WORKING_DIR
# These empty files keep uv from reading the project files of the folders above.
: >uv.toml && : >pyproject.toml

# Prints the last error of pip or uv in one line.
reason() {
    awk '/ResolutionImpossible/ { next }
        sub(/^ *(ERROR:|error:|cause:|Caused by:|×|╰─▶) /, "") { reason = $0; is_open = !/[.0-9]$/; next }
        /^ *(hint:.*)?$/ { is_open = 0 }
        is_open { sub(/^ */, ""); reason = reason " " $0 }
        END { print reason }' pip.err
}
# Prints the files and variables that have settings of pip.
setting_sources() {
    for file in "${PIP_CONFIG_FILE:-}" /etc/pip.conf /etc/xdg/pip/pip.conf "$HOME/.pip/pip.conf" \
        "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" "$HOME/Library/Application Support/pip/pip.conf"; do
        [ ! -f "$file" ] || echo "$file"
    done
    env | sed -n 's/^\(PIP_[A-Z_]*\)=.*/\1/p'
}

is_on() { case $1 in 0 | [fFnN]* | [oO][fF]*) return 1 ;; esac; }

# pip itself merges its files and variables into lines like global.index-url='https://example.org/simple'. They become
# variables of pip, and of uv if it has such a setting, except for those that would install elsewhere, for another
# Python or without dependencies.
only_pip='' no_index='' no_age='' reinstall='' unread=''
settings=$(PIP_QUIET=0 python3 -m pip config list 2>pip.err) || {
    ! command -v python3 >/dev/null || grep -q 'No module named pip' pip.err ||
        fail "cannot read pip's settings: $(tail -n 1 pip.err)"
    unread=$(setting_sources | head -n 1)
}
for section in global install :env:; do
    for setting in $(printf '%s\n' "$settings" |
        sed -nE "/^$section\.[a-z0-9-]+=.../{ s/^$section\.//; s/=./=/; s/.\$//; s/(\\\\[nt]| )+/ /g; s/= /=/; p; }"); do
        key=${setting%%=*} value=${setting#*=}
        variable=PIP_$(echo "$key" | tr a-z- A-Z_)
        export "$variable=$value"
        case $key in
            abi | dry-run | editable | implementation | no-dep* | platform | prefix | python | python-version | quiet | \
                report | requirement | root | target | user) unset "$variable" ;;
            index-url) export UV_DEFAULT_INDEX="$value" UV_INDEX_URL="$value" ;;
            extra-index-url) export UV_INDEX="$value" UV_EXTRA_INDEX_URL="$value" ;;
            find-links) UV_FIND_LINKS=$(echo "$value" | tr ' ' ,) && export UV_FIND_LINKS ;;
            no-index) if is_on "$value"; then no_index=--no-index; else no_index=; fi ;;
            constraint) export UV_CONSTRAINT="$value" ;;
            trusted-host) export UV_INSECURE_HOST="$value" ;;
            cert) if [ -f "$value" ]; then export SSL_CERT_FILE="$value"; else only_pip=cert; fi ;;
            proxy) export ALL_PROXY="$value" HTTP_PROXY="$value" HTTPS_PROXY="$value" ;;
            *timeout | retries | *cache* | config-file | *compile | *disable* | *clean | *color | exists-action | \
                *force* | ignore-installed | log | *warn* | no-input | *progress* | require-virtualenv | root-* | \
                break-* | require-hashes | upgrade | verbose) ;;
            *) only_pip=$key ;;
        esac
    done
done
! is_on "${PIP_REQUIRE_HASHES:-0}" ||
    decline "pip's setting require-hashes allows only packages with a hash, and a requirement cannot state a hash"
export PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off

# Likewise, the settings of uv itself.
elsewhere='^ *(break-system-packages|link-mode|no-deps|prefix|python|python-platform|python-version|system|target) *='
user_config=${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml
if grep -qsE "$elsewhere" "$user_config"; then
    mkdir -p config/uv && sed -E "/$elsewhere/d" "$user_config" >config/uv/uv.toml
    export XDG_CONFIG_HOME="$PWD/config"
fi
if [ "${UV_CONFIG_FILE:-}" ]; then
    sed -E "/$elsewhere/d" "$UV_CONFIG_FILE" >uv-config.toml && export UV_CONFIG_FILE="$PWD/uv-config.toml"
fi

if command -v uv >/dev/null && [ -z "$only_pip" ]; then
    [ -z "$unread" ] ||
        decline "python3 has no pip, which must read its settings ($unread); install it with apt-get install python3-pip"
    no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
    make_venv() { uv venv --quiet "$part"; }
    install() { uv pip install --python "$part/bin/python" $no_index ${reinstall:+--reinstall} "$@"; }
else
    or_uv=", or put uv on PATH"
    if [ "$only_pip" ]; then or_uv=", because uv has no setting like pip's $only_pip"; fi
    case $* in *--pays-from=*) [ -z "$only_pip" ] || decline "uv would not be used$or_uv" ;; esac
    needs python3 "install it with apt-get install python3 python3-pip$or_uv"
    pip=$(python3 -c 'import venv, pip; print(pip.__version__.split(".")[0])' 2>/dev/null) || pip=0
    [ "$pip" -gt 22 ] ||
        decline "python3 has no venv or no pip >= 23; install them with apt-get install python3-venv python3-pip$or_uv"
    [ -z "$must_keep_scripts" ] || [ -z "$locations" ] ||
        reject "pip would build the dependencies that a wheel names by their URL; put uv on PATH"
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
            ${reinstall:+--force-reinstall} "$@"
    }
fi

make_part
if [ -e "$part/pyvenv.cfg" ]; then reinstall=yes
else
    make_venv >&2
    # Nothing reads the path in this line.
    sed '/^command = /d' "$part/pyvenv.cfg" >pyvenv.cfg && cp pyvenv.cfg "$part/pyvenv.cfg"
    # hook relocate makes the venv movable, except for the scripts that activate it.
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
# Returns whether a build would have helped: there is no wheel of any version, or only a source of the requested one.
needs_build() {
    [ -z "$run_scripts" ] || return 1
    ! seen 'no usable wheels|building.* is disabled' || return 0
    version=$(sed -n 's/^ERROR: No matching distribution found for [^ ]*==\([^ ]*\).*/\1/p' pip.err)
    if [ "$version" ]; then seen "No sources permitted for .*-$version\.(tar|zip)"
    else seen 'No sources permitted for' && seen '\(from versions: none\)'; fi
}
no_dates() { seen 'missing an upload date|does not provide upload-time'; }
# Prints the first URL that could not be fetched, and why.
unreachable() {
    sed -nE 's/.*Could not fetch URL ([^ ]+): (connection error|There was a problem).*: ([^:]*) - skipping$/\1: \3/p
        s/.*Could not fetch URL ([^ ]+): (5[0-9]{2} .*) for url.*/\1: \2/p' pip.log | sed "s/[])'\"]*\$//" | head -n 1
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" pip.err | head -n 1)
    [ -z "$url" ] || echo "$url: $(sed -nE 's/^ *(cause|Caused by): //p' pip.err | tail -n 1)"
}
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    url=$(unreachable)
    if no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
    [ -z "$url" ] ||
        fail "cannot reach the index: $url; check the network, and the index and the proxy in pip's configuration"
    if needs_build; then fail "$(reason); a package that must be built needs --postinstall-scripts"; fi
    fail "$(reason)"
}
"$RIGUP" hook relocate "$part"
"$RIGUP" hook binary --provider pip --built "$part" --abspath "$prefix/bin/$name" -- "$@"
if [ "$no_age" ] && once "pip-$pip"; then warn "$no_age and installs the newest releases; $with_uv"; fi
