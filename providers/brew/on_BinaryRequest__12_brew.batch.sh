#!/bin/sh
# brew: installs Homebrew formulae, never casks: all at once, and one request at a time if that fails.
# Formulae are installed into Homebrew's Cellar. Programs are found in the opt folders of the formulae, so keg-only
# formulae work too.
# shellcheck disable=SC2154 # hook begin sets requests and plan
set -euf
IFS='
'
eval "$("$RIGUP" hook begin --provider brew --batch)"
needs brew
[ "$(id -u)" != 0 ] || decline "Homebrew refuses to run as root; run rigup as another user"
export HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_ENV_HINTS=1 HOMEBREW_NO_INSTALL_CLEANUP=1 HOMEBREW_NO_ANALYTICS=1
export HOMEBREW_NO_COLOR=1 HOMEBREW_NO_EMOJI=1 NONINTERACTIVE=1

log=$PWD/brew.log
# Without a network, Homebrew knows no formulae. curl exits with 22 for an answer such as 404, so that is not meant.
network_error() { grep -E '^curl: \((5|6|7|28|35|52|55|56)\)' "$log" | head -n 1; }
# Whether a formula is installed but its program is missing: Homebrew still counts it as installed.
is_damaged() { brew list --versions "$1" >/dev/null 2>&1 && [ ! -x "$(brew --prefix "$1")/bin/$2" ]; }

alone='' together=''
for line in $plan; do
    name=$(name "$line") mode=together
    for formula in $(packages "$line"); do
        case $formula in -*) mode=alone ;; *) ! is_damaged "$formula" "$name" || mode=alone ;; esac
    done
    if [ $mode = alone ]; then alone="$alone$line$IFS"; else together="$together$line$IFS"; fi
done
# `install` also upgrades an outdated formula.
# shellcheck disable=SC2046 # one formula a line
[ -z "$together" ] || logged brew install --formula $(packages "$together") || alone=$alone$together
for line in $alone; do
    name=$(name "$line") options=$(packages "$line" | grep '^-') || :
    for formula in $(packages "$line" | grep -v '^-'); do
        verb=install
        ! is_damaged "$formula" "$name" || verb=reinstall
        # shellcheck disable=SC2086 # one option a line
        logged brew $verb --formula $options "$formula" && continue
        error=$(network_error)
        if [ "$error" ]; then failure "$line" "cannot reach the servers of Homebrew: $error"
        elif grep -q 'No available formula' "$log"; then
            failure "$line" --declined "Homebrew has no formula named $formula; check the name, or set overrides.brew.packages"
        else
            failure "$line" "$(tail -n 1 "$log")"
        fi
        break
    done
done

bins=$(for formula in $(packages "$plan" | grep -v '^-'); do
    prefix=$(brew --prefix "$formula" 2>/dev/null) && printf '%s:' "$prefix/bin"
done) || :
list_files="/usr/bin/env 'PATH=$PATH' brew list --formula"
printf '%s\n' "$requests" |
    PATH=${bins%:} "$RIGUP" hook binary --provider brew --batch --list-files "$list_files"
