#!/usr/bin/env bash
# Builds the executable and the wheel of one target: packaging/build.sh TARGET OUT
# Writes OUT/TARGET/rigup and OUT/rigup-VERSION-*.whl. Two checkouts of a commit give the same bytes, whatever their folders.
# Needs Rust with the target, and the programs of packaging/requirements.txt. A macOS target needs a Mac.
set -euo pipefail
[ $# = 2 ] || { echo "usage: packaging/build.sh TARGET OUT" >&2 && exit 2; }
target=$1
mkdir -p "$2/$target"
out=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export CARGO_TARGET_DIR SOURCE_DATE_EPOCH

# The executable has no date of the build, and no path of this machine. The last match counts, so the target folder, which
# may be in the checkout, comes after it. The folder of a registry is named after its address, which differs with a mirror;
# `cargo fetch` creates it.
cargo fetch --locked --quiet --target "$target"
cargo_home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
rustflags=() cflags=(-Wno-builtin-macro-redefined '-D__DATE__=""' '-D__TIME__=""')
# As in .cargo/config.toml, whose CFLAGS these replace.
cflags+=(-fno-asynchronous-unwind-tables -fno-unwind-tables)
registries=("$cargo_home"/registry/src/*)
for path in "$(rustc --print sysroot)=/rust" "$cargo_home=/cargo" "${registries[@]/%/=/cargo}" "$PWD=/rigup" \
    "$CARGO_TARGET_DIR=/target"; do
    rustflags+=("--remap-path-prefix=$path")
    cflags+=("-ffile-prefix-map=$path")
done

# A static executable runs with any C library. Zig loads it at a fixed address, so its code need not be independent of that,
# which saves 64 KB; and it keeps frame pointers by default, which makes SQLite slower.
options=()
case $target in
*-linux-musl)
    options+=(--zig --compatibility manylinux2014 musllinux_1_1)
    rustflags+=(-Crelocation-model=static)
    cflags+=(-fomit-frame-pointer)
    ;;
esac

CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${rustflags[*]}")
# A path may contain a space.
CC_SHELL_ESCAPED_FLAGS=1
CFLAGS=$(printf '%q ' "${cflags[@]}")
export CARGO_ENCODED_RUSTFLAGS CC_SHELL_ESCAPED_FLAGS CFLAGS

maturin build --release --locked --bindings bin --target "$target" "${options[@]}" --out "$out"
cp "$CARGO_TARGET_DIR/$target/release/rigup" "$out/$target/rigup"
