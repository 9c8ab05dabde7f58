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

# Variables that choose another Python or its modules.
unset PIP_PYTHON PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR

# Prints the last error of pip or uv in one line.
reason() {
    awk '/ResolutionImpossible/ { next }
        sub(/^[A-Za-z_.]*(Error|Exception): /, "") { reason = $0; is_open = 0; next }
        sub(/^ *(ERROR:( Could not install packages due to an OSError:)?|error:|cause:|Caused by:|×|╰─▶) /, "") { reason = $0; is_open = !/[.0-9]$/; next }
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
        # pip quotes the file, in which there may be passwords.
        fail "cannot read pip's settings$(setting_sources | grep / | while read -r file; do
            ! grep -qF "'$file'" pip.err || echo ": $file is not valid"
        done | head -n 1); see python3 -m pip config list"
    unread=$(setting_sources | head -n 1)
}
# If they choose an index, none in the settings of uv is added to it.
own_index=$(printf '%s\n' "$settings" | grep -E "^(global|install|:env:)\.((extra-)?index-url|no-index)=...") || :
! command -v uv >/dev/null || filter_uv_settings ${own_index:+without-indexes}
for section in global install :env:; do
    for setting in $(printf '%s\n' "$settings" |
        sed -nE "/^$section\.[a-z0-9-]+=.../{ s/^$section\.//; s/=./=/; s/.\$//; s/(\\\\[nt]| )+/ /g; s/= /=/; p; }"); do
        key=${setting%%=*} value=${setting#*=}
        variable=PIP_$(echo "$key" | tr a-z- A-Z_)
        case $key in *constraint | find-links) check_paths "pip's setting $key" "$value" ;; esac
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

if command -v uv >/dev/null && [ -z "$only_pip" ]; then
    [ -z "$unread" ] ||
        decline "python3 has no pip, which must read its settings ($unread); install it with apt-get install python3-pip"
    no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
    make_venv() { uv venv --quiet "$part"; }
    install() { uv pip install --python "$part/bin/python" $no_index ${reinstall:+--reinstall} "$@"; }
else
    or_uv=", or put uv on PATH" with_uv="install uv, which can: rigup install uv --binproviders pip"
    if [ "$only_pip" ]; then
        or_uv=", because uv has no setting like pip's $only_pip" with_uv="use pip 26 or later$or_uv"
    elif [ "$must_keep_age" ]; then with_uv="$with_uv --min-release-age 0"
    fi
    case $* in *--pays-from=*) [ -z "$only_pip" ] || decline "uv would not be used$or_uv" ;; esac
    needs python3 "install it with apt-get install python3 python3-pip$or_uv"
    pip=$(python3 -c 'import venv, pip; print(pip.__version__.split(".")[0])' 2>/dev/null) || pip=0
    [ "$pip" -gt 22 ] ||
        decline "python3 has no venv or no pip >= 23; install them with apt-get install python3-venv python3-pip$or_uv"
    no_build=--only-binary=:all: age=
    if [ "$pip" -gt 25 ]; then age=${released_before:+--uploaded-prior-to=$released_before}; fi
    if [ "$released_before" ] && [ -z "$age" ]; then
        no_age="pip $pip cannot enforce min_release_age"
        [ -z "$must_keep_age" ] || fail "$no_age; $with_uv"
    fi
    make_venv() { python3 -m venv --without-pip "$part"; }
    # pip would build a dependency that a package names by its URL. A build is a process, and pip needs no other, except
    # one for passwords.
    no_processes='import os, runpy, sys
def check(event, args):
    if event == "subprocess.Popen" and os.path.basename(str(args[0])) != "keyring":
        raise PermissionError("a package has no wheel, and building is disabled")
sys.addaudithook(check)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")'
    runner=$(python3 -c 'import pip; print(pip.__path__[0] + "/__pip-runner__.py")')
    install() {
        set -- install --no-compile --no-warn-script-location --log pip.log ${reinstall:+--force-reinstall} "$@"
        if [ "$run_scripts" ]; then python3 -m pip --python "$part/bin/python" "$@"
        else "$part/bin/python" -I -c "$no_processes" "$runner" "$@"; fi
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
    sed -nE "/Could not fetch URL/!d; / 404 Client/d; s/.*Could not fetch URL ([^ ]+): (.*) - skipping\$/\\1: \\2/
        s/ for url: .*//; s/^([^ ]+): .*Caused by .*['\"]([^'\"]*)['\"][])]*\$/\\1: \\2/
        s/: .*Failed to establish a new connection: /: /; p" pip.log | head -n 1
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" pip.err | head -n 1)
    [ -z "$url" ] || echo "$url: $(sed -nE 's/^ *(cause|Caused by): //p' pip.err | tail -n 1)"
    sed -nE 's/^ *hint: An index[^(]*\(([^)]*)\).*(40[13] [A-Z][a-z]+).*/\1: \2/p' pip.err | head -n 1
}
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    url=$(unreachable)
    if no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
    [ -z "$url" ] ||
        fail "cannot reach the index: $url; check the network, and the index, its credentials and the proxy in \
pip's configuration"
    if needs_build; then fail "$(reason); a package that must be built needs --postinstall-scripts"; fi
    fail "$(reason)"
}
"$RIGUP" hook relocate "$part"
"$RIGUP" hook binary --provider pip --built "$part" --abspath "$prefix/bin/$name" -- "$@"
if [ "$no_age" ] && once "pip-$pip"; then warn "$no_age and installs the newest releases; $with_uv"; fi
