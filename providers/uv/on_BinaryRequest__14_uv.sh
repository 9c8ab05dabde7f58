#!/bin/sh
# uv: installs Python packages from PyPI with uv, never with pip. A venv and not `uv tool`, which takes one package at a
# time and gives it a folder of its own: here a requirement's packages and options are one install, as with pip.
# Where: a venv for each requirement, LIB_DIR/uv/<name>, or the one that overrides.uv.install_root names.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider uv -- "$@")"
binary=$prefix/bin/$name
command -v uv >/dev/null || decline "uv is not on PATH: pip install uv, or https://docs.astral.sh/uv"
# What was asked for weighs more than the options of a requirement.
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -v '^--exclude-newer-package='); fi

# The mark stands while the venv is being filled: who finds it finds what a killed run left, and makes it anew.
# A failure alone spares what works: uv fetches everything before it touches the old files.
again=--reinstall
if [ -e "$prefix.part" ] || [ ! -x "$prefix/bin/python" ]; then again= && rm -rf "$prefix"; fi
mkdir -p "$prefix" && : >"$prefix.part"
[ "$again" ] || uv venv --quiet "$prefix" >&2
no_build=--no-build age=${released_before:+--exclude-newer=$released_before}
if [ "$run_scripts" ]; then no_build=; fi
# shellcheck disable=SC2086 # one package a line; of options that contradict each other the last one counts
try() {
    code=0
    uv pip install --python "$prefix/bin/python" $again $packages $no_build $age >&2 2>uv.err || code=$?
    cat uv.err >&2
    [ "$code" = 0 ]
}
no_dates() { grep -q 'missing an upload date' uv.err; }
try || { [ -z "$must_keep_age" ] && no_dates && age= &&
    warn "the index does not say when packages were released: the newest ones are taken" && try; } || {
    [ "$code" -gt 127 ] || [ ! -x "$binary" ] || rm -f "$prefix.part"
    ! no_dates || echo "the index does not say when packages were released: min_release_age cannot be kept" >&2
    ! grep -qE 'building.* is disabled|no usable wheels' uv.err ||
        echo "$(tail -n 1 uv.err); what has to be built needs --postinstall-scripts" >&2
    exit 1
}
# pip, uv and each of their versions write another launcher for one program; for rigup.lock it has to be one.
if [ -f "$binary" ] && [ "$(wc -l <"$binary")" -lt 15 ] && grep -q 'sys\.argv\[0\].*exe' "$binary"; then
    sed "/^import re\$/d; /^# -\*- coding/d; /sys\.argv\[0\]/d; s/'__main__'/\"__main__\"/" "$binary" >"$binary.part"
    chmod +x "$binary.part" && mv "$binary.part" "$binary"
fi
rm -f "$prefix.part"

"$RIGUP" hook binary --provider uv --abspath "$binary" -- "$@"
