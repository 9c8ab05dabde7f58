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
reject() { "$RIGUP" hook failure --name "$name" --rejected "$1" && exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider uv -- "$@")"
command -v uv >/dev/null || decline "uv is not on PATH; install it with pip install uv, or see https://docs.astral.sh/uv"

# Packages that are not releases in an index: URLs, files and repositories. A wheel runs nothing when it is installed.
for location in $locations; do
    [ -z "$must_keep_age" ] || reject "cannot enforce min_release_age: $location has no release date"
    case $location in
        *.whl | *.whl'#'*) ;;
        *) [ "$run_scripts" ] ||
            reject "$location is not from an index, so it can run scripts; allow them with --postinstall-scripts" ;;
    esac
done
# A requested age takes precedence over the options of a requirement.
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -v '^--exclude-newer-package='); fi

# Settings of the caller that would install elsewhere or with another Python.
unset PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR UV_PROJECT UV_SYSTEM_PYTHON UV_VENV_SEED UV_WORKING_DIR
# These empty files keep uv from reading the project files of the folders above.
: >uv.toml && : >pyproject.toml
[ -z "$cache" ] || export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$cache}"

# Build beside the prefix: a failure or a kill leaves the working version. hook relocate makes the venv movable,
# except for the scripts that activate it.
part=$prefix.part reinstall=
trap 'rm -rf "$part"' EXIT
trap 'exit 143' HUP INT TERM
rm -rf "$part"
if [ "$prefix" != "$LIB_DIR/uv/$name" ] && [ -e "$prefix" ]; then
    reinstall=--reinstall && cp -Rp "$prefix" "$part"
else
    uv venv --quiet "$part" >&2
    find "$part/bin" -iname '*activate*' -delete
fi
no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
if [ "$run_scripts" ]; then no_build=; fi
# shellcheck disable=SC2086 # one package a line; the last of conflicting options counts
try() {
    code=0
    uv pip install --python "$part/bin/python" $reinstall $packages $no_build $age >&2 2>uv.err || code=$?
    cat uv.err >&2
    [ "$code" = 0 ]
}
no_dates() { grep -q 'missing an upload date' uv.err; }
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    if no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" uv.err | head -n 1)
    cause=$(sed -nE 's/^ *(cause|Caused by): //p' uv.err | tail -n 1)
    [ -z "$url" ] ||
        fail "cannot reach the index: $url: $cause; check the network, and the index and the proxy in uv's configuration"
    reason=$(tail -n 1 uv.err | sed -E 's/^ *(cause|hint): //')
    ! grep -qE 'building.* is disabled|no usable wheels' uv.err ||
        fail "$reason; a package that must be built needs --postinstall-scripts"
    fail "$reason"
}
"$RIGUP" hook relocate "$part"
# pip, uv and their versions write different launchers for the same program; rigup.lock needs the same file each time.
binary=$part/bin/$name
if [ -f "$binary" ] && [ "$(wc -l <"$binary")" -lt 15 ] && grep -q 'sys\.argv\[0\].*exe' "$binary"; then
    sed "/^import re\$/d; /^# -\*- coding/d; /sys\.argv\[0\]/d; s/'__main__'/\"__main__\"/" "$binary" >"$binary.part"
    chmod +x "$binary.part" && mv "$binary.part" "$binary"
fi

"$RIGUP" hook binary --provider uv --built "$part" --abspath "$prefix/bin/$name" -- "$@"
