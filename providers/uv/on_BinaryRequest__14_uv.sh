#!/bin/sh
# uv: installs Python packages from PyPI with uv, never with pip. It uses a venv rather than `uv tool`, which takes only
# one package, so that all packages and options of a requirement are one install.
# Each requirement has a venv of its own, LIB_DIR/uv/<name>, unless overrides.uv.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider uv -- "$@")"
needs uv "install it with pip install uv, or see https://docs.astral.sh/uv"

# A wheel runs nothing when it is installed.
check_locations '^([A-Za-z0-9._-]+(\[[^]]*\])? *@ *)?((https?|file):|[./~])[^?#]*\.whl([?#].*)?$'
# A requested age takes precedence over the options of a requirement.
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -v '^--exclude-newer-package='); fi

filter_uv_settings

make_part
reinstall=
if [ -e "$part/pyvenv.cfg" ]; then reinstall=--reinstall
else
    uv venv --quiet "$part" >&2
    # hook relocate makes the venv movable, except for the scripts that activate it.
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
# Prints the last error in one line.
reason() {
    awk 'sub(/^ *(error:|cause:|Caused by:|×|╰─▶) /, "") { reason = $0; is_open = !/[.0-9]$/; next }
        /^ *(hint:.*)?$/ { is_open = 0 }
        is_open { sub(/^ */, ""); reason = reason " " $0 }
        END { print reason }' uv.err
}
no_dates() { grep -q 'missing an upload date' uv.err; }
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    if no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" uv.err | head -n 1)
    url=${url:+$url: $(reason)}
    url=${url:-$(sed -nE 's/^ *hint: An index[^(]*\(([^)]*)\).*(40[13] [A-Z][a-z]+).*/\1: \2/p' uv.err | head -n 1)}
    [ -z "$url" ] ||
        fail "cannot reach the index: $url; check the network, and the index, its credentials and the proxy in uv's configuration"
    ! grep -qE 'building.* is disabled|no usable wheels' uv.err ||
        fail "$(reason); a package that must be built needs --postinstall-scripts"
    fail "$(reason)"
}
"$RIGUP" hook relocate "$part"
"$RIGUP" hook binary --provider uv --built "$part" --abspath "$prefix/bin/$name" -- "$@"
