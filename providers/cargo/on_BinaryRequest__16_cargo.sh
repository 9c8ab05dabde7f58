#!/bin/sh
# cargo: builds Rust programs from crates.io with `cargo install`. `ripgrep@14.1.0` selects that version, and
# `ripgrep@14` the newest 14.x.
# Each requirement has a root of its own, LIB_DIR/cargo/<name>, unless overrides.cargo.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }

eval "$("$RIGUP" hook begin --provider cargo -- "$@")"
program=bin/$name
command -v cargo >/dev/null || decline "cargo is not on PATH; install Rust from https://rustup.rs, or with apt-get install cargo"
# cargo rejects a version with fewer than three numbers unless it is a range.
packages=$(printf '%s\n' "$packages" | sed '/^-/!s/@\([0-9]*\(\.[0-9]*\)\{0,1\}\)$/@~\1/')

# Build beside the prefix, then replace it: a failure or a kill leaves the working version.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part"
[ "$prefix" = "$LIB_DIR/cargo/$name" ] || [ ! -e "$prefix" ] || cp -Rp "$prefix/." "$part"
# Programs contain the paths of their sources. Remap the paths, so that a build gives the same file on every machine.
# The user's own flags take precedence.
home=${CARGO_HOME:-$HOME/.cargo} remap=
case $home in *[\'\"\\]*) ;; *) remap="build.rustflags=['--remap-path-prefix=$home=/cargo']" ;; esac
# shellcheck disable=SC2086 # one package a line
try() {
    cargo install ${remap:+"--config=$remap"} --root "$part" --force --color never "$@" $packages >&2 2>cargo.err && return
    cat cargo.err >&2
    false
}
# Use the versions that the author tested, and newer ones if those no longer build.
try --locked || { grep -qE 'failed to compile|lock file|yanked' cargo.err && try; } || {
    rm -rf "$part"
    grep -E '^error' cargo.err | head -n 1 >&2
    exit 1
}
[ -x "$part/$program" ] || { "$RIGUP" hook binary --provider cargo --abspath "$part/$program" -- "$@" || rm -rf "$part"; exit 1; }
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider cargo --abspath "$prefix/$program" -- "$@"
