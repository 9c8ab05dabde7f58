#!/bin/sh
# uv: installs Python packages from PyPI with uv, never with pip. It uses a venv rather than `uv tool`, which takes only
# one package, so that all packages and options of a requirement are one install.
# Each requirement has a venv of its own, LIB_DIR/uv/<name>, unless overrides.uv.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
fail() { echo "$1" >&2; exit 1; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider uv -- "$@")"
binary=$prefix/bin/$name
command -v uv >/dev/null || decline "uv is not on PATH; install it with pip install uv, or see https://docs.astral.sh/uv"

# Packages that are not releases in an index: URLs, files and repositories.
for package in $packages; do
    case $package in
        -*) continue ;;
        */* | *@* | .*) [ -z "$must_keep_age" ] || fail "cannot enforce min_release_age for $package: it has no release date" ;;
        *) continue ;;
    esac
    case $package in
        *.whl | *.whl'#'*) ;;
        *) [ "$run_scripts" ] || fail "cannot install $package: building it runs its scripts; allow that with --postinstall-scripts" ;;
    esac
done
# A requested age takes precedence over the options of a requirement.
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -v '^--exclude-newer-package='); fi

# Settings of the caller that would install elsewhere or with another Python.
unset PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR UV_PROJECT UV_SYSTEM_PYTHON UV_VENV_SEED UV_WORKING_DIR
# These empty files keep uv from reading the project files of the folders above.
: >uv.toml && : >pyproject.toml
# Without a home folder that can be written to, the cache is in LIB_DIR.
cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}
case $cache in /.cache | //.cache) cache= ;; esac
if ! { [ -d "${cache%/*}" ] && mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null; then export XDG_CACHE_HOME="$LIB_DIR/.cache"; fi

# The .part file exists during an install. If it exists at the start, an earlier hook was killed, and the venv is
# created again. After an ordinary failure, the old files still work: uv downloads everything before it replaces them.
reinstall=--reinstall
if [ -e "$prefix.part" ] || [ ! -x "$prefix/bin/python" ]; then reinstall= && rm -rf "$prefix"; fi
undo() { [ "$reinstall" ] || rm -rf "$prefix" "$prefix.part"; }
mkdir -p "$prefix" && : >"$prefix.part"
[ "$reinstall" ] || uv venv --quiet "$prefix" >&2 || { undo && exit 1; }
no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
if [ "$run_scripts" ]; then no_build=; fi
# shellcheck disable=SC2086 # one package a line; the last of conflicting options counts
try() {
    code=0
    uv pip install --python "$prefix/bin/python" $reinstall $packages $no_build $age >&2 2>uv.err || code=$?
    cat uv.err >&2
    [ "$code" = 0 ]
}
no_dates() { grep -q 'missing an upload date' uv.err; }
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    if [ "$code" -le 127 ]; then undo && if [ -x "$binary" ]; then rm -f "$prefix.part"; fi; fi
    if no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" uv.err | head -n 1)
    cause=$(sed -nE 's/^ *(cause|Caused by): //p' uv.err | tail -n 1)
    [ -z "$url" ] || fail "cannot fetch $url: $cause; check the network, or the index and the proxy in uv's settings"
    reason=$(tail -n 1 uv.err | sed -E 's/^ *(cause|hint): //')
    ! grep -qE 'building.* is disabled|no usable wheels' uv.err ||
        fail "$reason; a package that must be built needs --postinstall-scripts"
    fail "$reason"
}
# pip, uv and their versions write different launchers for the same program; rigup.lock needs the same file each time.
if [ -f "$binary" ] && [ "$(wc -l <"$binary")" -lt 15 ] && grep -q 'sys\.argv\[0\].*exe' "$binary"; then
    sed "/^import re\$/d; /^# -\*- coding/d; /sys\.argv\[0\]/d; s/'__main__'/\"__main__\"/" "$binary" >"$binary.part"
    chmod +x "$binary.part" && mv "$binary.part" "$binary"
fi
"$RIGUP" hook relocate "$prefix"
rm -f "$prefix.part"

"$RIGUP" hook binary --provider uv --abspath "$binary" -- "$@" || { undo && exit 1; }
