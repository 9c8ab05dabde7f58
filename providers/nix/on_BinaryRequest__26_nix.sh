#!/bin/sh
# nix: installs packages of nixpkgs, or of other flakes, into a profile of the requirement's own. The files themselves are
# in nix's store.
# shellcheck disable=SC2154 # hook begin sets name, prefix and packages, and make_part sets part
set -euf
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider nix -- "$@")}"
IFS='
'
needs nix

log=$PWD/nix.log
odd=$(printf '%s\n' "$packages" | grep -vxE '[A-Za-z0-9_][A-Za-z0-9_+.-]*|[A-Za-z0-9][^[:space:]#]*#[A-Za-z0-9_+."-]+') || :
[ -z "$odd" ] || decline "$odd is neither the name of a package of nixpkgs nor one in a flake, such as github:user/flake#name"
make_part
cd /
# shellcheck disable=SC2046 # one package a line
logged nix --extra-experimental-features nix-command --extra-experimental-features flakes \
    profile install --profile "$part/profile" $(printf '%s\n' "$packages" | sed '/#/!s/^/nixpkgs#/') || {
    missing=$(sed -n "s/^error: flake '\([^']*\)' does not provide attribute .* or '\([^']*\)'.*/\1 has no package named \2/p" "$log" | head -n 1)
    [ -z "$missing" ] || decline "${missing#flake:}; check the name, or set overrides.nix.packages"
    ! grep -q 'does not provide attribute' "$log" || decline "$(sed -n 's/^error: //p' "$log" | head -n 1)"
    fail "$(sed -n 's/^ *error: \(..*\)/\1/p' "$log" | tail -n 1)"
}
"$RIGUP" hook binary --provider nix --abspath "$prefix/profile/bin/$name" --built "$part" -- "$@"
# nix collects what no root leads to, and the profile is a root only by its earlier path.
nix-store --realise "$(readlink -f "$prefix/profile")" --add-root "$prefix/root" --indirect >&2
