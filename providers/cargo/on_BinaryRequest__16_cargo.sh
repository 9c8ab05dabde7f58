#!/bin/sh
# cargo: builds Rust programs from crates.io with `cargo install`. `ripgrep@14.1.0` selects that version, and
# `ripgrep@14` the newest 14.x.
# Each requirement has a root of its own, LIB_DIR/cargo/<name>, unless overrides.cargo.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

own=${CARGO_HOME:-} # hook begin chooses another folder if this one cannot be used
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider cargo -- "$@")}"
needs cargo
# cargo rejects a version with fewer than three numbers unless it is a range.
packages=$(printf '%s\n' "$packages" | sed '/^-/!s/@\([0-9]*\(\.[0-9]*\)\{0,1\}\)$/@~\1/')

# cargo and rustup read the configuration of the folders around the one in which they start; this one has no parents.
# Variables of a surrounding project must not choose the toolchain, if there is a default, or the target.
log=$PWD/cargo.err
cd /
unset CARGO_BUILD_TARGET CARGO_BUILD_BUILD_DIR
if (unset RUSTUP_TOOLCHAIN && cargo --version) >/dev/null 2>&1; then unset RUSTUP_TOOLCHAIN; fi
own=${own:-$HOME/.cargo} home=${CARGO_HOME:-$HOME/.cargo}
if [ "$home" != "$own" ]; then
    # cargo also reads the configuration of the folders around its home.
    folder=$home
    while [ "$folder" ]; do
        [ -z "$(find "$folder" -maxdepth 0 -perm -0002 2>/dev/null)" ] ||
            decline "cannot use $own, and others can write to $folder, in which cargo would look for its configuration; \
set CARGO_HOME to a folder in which only you can write"
        folder=${folder%/*}
    done
    mkdir -p "$home"
    for file in config.toml credentials.toml; do
        if [ -e "$own/$file" ]; then ln -sf "$own/$file" "$home"; fi
    done
fi
configuration=$(cat "$home"/config "$home"/config.toml /.cargo/config /.cargo/config.toml 2>/dev/null) || :
# A variable takes precedence over the files.
if printf '%s\n' "$configuration" | grep -qE '(^|[{,. ])"?target"? *='; then
    CARGO_BUILD_TARGET=$(cargo -vV | sed -n 's/^host: //p') && export CARGO_BUILD_TARGET
fi

make_part
# Programs contain the paths of their sources. Remap the paths, so that a build gives the same file on every machine.
# The user's own flags take precedence.
remap="build.rustflags=['--remap-path-prefix=$home=/cargo', '--remap-path-prefix=$part/target=/target']"
case $home$part in *[\'\"\\]*) remap= ;; esac
# shellcheck disable=SC2086 # one package a line
try() {
    logged cargo install ${remap:+--config} ${remap:+"$remap"} --root "$part" --target-dir "$part/target" --force \
        --color never "$@" $packages
}
# Use the versions that the author tested, and newer ones if those no longer build.
try --locked || { grep -qE 'failed to compile|lock file|yanked' "$log" && try; } || {
    reason=$(grep -E '^error' "$log" | head -n 1)
    # The last line of the chain of causes, such as "[6] Could not resolve host: ...".
    network=$(sed -n 's/^ *\(\[[0-9]*\] .*\)/\1/p; s/^ *\(network failure .*\)/\1/p
        s/^ *\(failed to get successful HTTP response .*, got [0-9]*\).*/\1/p' "$log" | head -n 1)
    [ -z "$network" ] || reason="cannot reach the registry: $network; check the network, and the registry and the proxy in cargo's configuration"
    # Other errors about a registry name their cause below.
    case $reason in *'failed to query '* | *'failed to load source '* | *'Unable to update '*)
        cause=$(awk '/^Caused by:/ { getline; sub(/^ */, ""); cause = $0 } END { print cause }' "$log")
        reason=$reason${cause:+: $cause} ;;
    esac
    case ${CARGO_NET_OFFLINE:-} in 1 | true) reason="$reason; cargo is offline because CARGO_NET_OFFLINE is set" ;; esac
    fail "$reason"
}
rm -rf "$part/target"

put_in_place "$part" "bin/$name" "$@"
