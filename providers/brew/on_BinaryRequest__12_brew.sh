#!/bin/sh
# brew: installs Homebrew formulae, never casks.
# Where: Homebrew's own Cellar; the program is taken from the formula's opt folder, so keg-only ones work too.
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }

"$RIGUP" hook accepts --provider brew -- "$@"
command -v brew >/dev/null || decline "brew is not on PATH: install Homebrew from https://brew.sh"
[ "$(id -u)" != 0 ] || decline "Homebrew refuses to run as root: run rigup as another user"
[ "${RIGUP_LOCKED-}" = brew ] || RIGUP_LOCKED=brew exec "$RIGUP" hook lock brew -- "$0" "$@"
packages=$("$RIGUP" hook packages --provider brew -- "$@")
for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done
export HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_ENV_HINTS=1 HOMEBREW_NO_INSTALL_CLEANUP=1 HOMEBREW_NO_ANALYTICS=1
export HOMEBREW_NO_COLOR=1 HOMEBREW_NO_EMOJI=1 NONINTERACTIVE=1

options=$(echo "$packages" | grep '^-') || :
program=
for formula in $(echo "$packages" | grep -v '^-'); do
    verb=install
    if brew list --versions "$formula" >/dev/null 2>&1; then
        # What is installed counts as such even where its program was deleted; `install` brings an old one up to date.
        [ -x "$(brew --prefix "$formula")/bin/$name" ] || verb=reinstall
    fi
    # shellcheck disable=SC2086 # one option a line
    if ! brew $verb --formula $options "$formula" >&2 2>brew.err; then
        cat brew.err >&2
        ! grep -q 'No available formula' brew.err || decline "Homebrew has no formula $formula"
        exit 1
    fi
    bin=$(brew --prefix "$formula")/bin
    [ ! -x "$bin/$name" ] || program=$bin/$name
done
[ "$program" ] || { echo "no program $name among what brew installed" >&2; exit 1; }

"$RIGUP" hook binary --provider brew --abspath "$program" -- "$@"
