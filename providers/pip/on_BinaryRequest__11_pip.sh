#!/bin/sh
# pip: installs Python packages from PyPI, with uv where it is on PATH, else with pip.
# Where: a venv for each requirement, LIB_DIR/pip/<name>, or the one that overrides.pip.install_root names.
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }

"$RIGUP" hook accepts --provider pip -- "$@"
prefix=$("$RIGUP" hook prefix --provider pip -- "$@")
[ "${RIGUP_LOCKED-}" = "$prefix" ] ||
    RIGUP_LOCKED=$prefix exec "$RIGUP" hook lock "pip/${prefix##*/}" -- "$0" "$@"
packages=$("$RIGUP" hook packages --provider pip -- "$@")
for arg; do case $arg in --name=*) binary=$prefix/bin/${arg#--name=} ;; esac; done

if command -v uv >/dev/null; then
    make_venv() { uv venv --quiet "$prefix"; }
    install() { uv pip install --python "$prefix/bin/python" ${again:+--reinstall} "$@"; }
else
    command -v python3 >/dev/null || decline "python3 is not on PATH: apt-get install python3 python3-pip"
    python3 -c 'import venv, pip; assert tuple(map(int, pip.__version__.split(".")[:2])) >= (22, 3)' 2>/dev/null ||
        decline "python3 has no venv or no pip >= 22.3: apt-get install python3-venv python3-pip, or put uv on PATH"
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_USER=0
    make_venv() { python3 -m venv --without-pip "$prefix"; }
    install() { python3 -m pip --python "$prefix/bin/python" install --no-compile ${again:+--force-reinstall} "$@"; }
fi

# The mark stands while the venv is being filled: who finds it finds what a killed run left, and makes it anew.
# A failure alone spares what works: pip and uv fetch everything before they touch the old files.
again=yes
if [ -e "$prefix.part" ] || [ ! -x "$prefix/bin/python" ]; then again= && rm -rf "$prefix"; fi
mkdir -p "$prefix" && : >"$prefix.part"
[ "$again" ] || make_venv >&2
# shellcheck disable=SC2086 # one package a line
install $packages >&2 || { [ $? -gt 127 ] || [ ! -x "$binary" ] || rm -f "$prefix.part"; exit 1; }
rm -f "$prefix.part"

"$RIGUP" hook binary --provider pip --abspath "$binary" -- "$@"
