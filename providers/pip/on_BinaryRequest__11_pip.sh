#!/bin/sh
# pip: installs Python packages from PyPI, with uv if it is on PATH, otherwise with pip.
# Each requirement has a venv of its own, LIB_DIR/pip/<name>, unless overrides.pip.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider pip -- "$@")"
binary=$prefix/bin/$name

if command -v uv >/dev/null; then
    no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
    make_venv() { uv venv --quiet "$prefix"; }
    install() { uv pip install --python "$prefix/bin/python" ${reinstall:+--reinstall} "$@"; }
else
    command -v python3 >/dev/null || decline "python3 is not on PATH; install it with apt-get install python3 python3-pip"
    pip=$(python3 -c 'import venv, pip; print(pip.__version__.split(".")[0])' 2>/dev/null) || pip=0
    [ "$pip" -gt 22 ] ||
        decline "python3 has no venv or no pip >= 23; install them with apt-get install python3-venv python3-pip, or put uv on PATH"
    no_build=--only-binary=:all: age=
    if [ "$pip" -gt 25 ]; then age=${released_before:+--uploaded-prior-to=$released_before}; fi
    if [ "$released_before" ] && [ -z "$age" ]; then
        [ -z "$must_keep_age" ] || { echo "pip $pip cannot enforce min_release_age; put uv on PATH" >&2; exit 1; }
        warn "pip $pip cannot enforce min_release_age and installs the newest releases; put uv or a newer pip on PATH"
    fi
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_USER=0
    make_venv() { python3 -m venv --without-pip "$prefix"; }
    install() { python3 -m pip --python "$prefix/bin/python" install --no-compile ${reinstall:+--force-reinstall} "$@"; }
fi

# The .part file exists during an install. If it exists at the start, an earlier hook was killed, and the venv is
# created again. After an ordinary failure, the old files still work: pip and uv download everything before they
# replace them.
reinstall=yes
if [ -e "$prefix.part" ] || [ ! -x "$prefix/bin/python" ]; then reinstall= && rm -rf "$prefix"; fi
mkdir -p "$prefix" && : >"$prefix.part"
[ "$reinstall" ] || make_venv >&2
if [ "$run_scripts" ]; then no_build=; fi
# shellcheck disable=SC2086 # one package a line; the last of conflicting options counts
try() { code=0; install $packages $no_build $age >&2 2>pip.err || code=$?; cat pip.err >&2; [ "$code" = 0 ]; }
no_dates() { grep -qE 'missing an upload date|does not provide upload-time' pip.err; }
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index has no release dates, so the newest releases are installed" && try; } || {
    [ "$code" -gt 127 ] || [ ! -x "$binary" ] || rm -f "$prefix.part"
    ! no_dates || echo "cannot enforce min_release_age: the index has no release dates" >&2
    ! grep -qE 'building.* is disabled|No matching distribution' pip.err ||
        echo "$(tail -n 1 pip.err); a package that must be built needs --postinstall-scripts" >&2
    exit 1
}
# pip, uv and their versions write different launchers for the same program; rigup.lock needs the same file each time.
if [ -f "$binary" ] && [ "$(wc -l <"$binary")" -lt 15 ] && grep -q 'sys\.argv\[0\].*exe' "$binary"; then
    sed "/^import re\$/d; /^# -\*- coding/d; /sys\.argv\[0\]/d; s/'__main__'/\"__main__\"/" "$binary" >"$binary.part"
    chmod +x "$binary.part" && mv "$binary.part" "$binary"
fi
rm -f "$prefix.part"

"$RIGUP" hook binary --provider pip --abspath "$binary" -- "$@"
