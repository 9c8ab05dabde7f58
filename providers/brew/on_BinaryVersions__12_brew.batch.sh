#!/bin/sh
# brew: lists the versions of formulae in Homebrew's API, or in that of HOMEBREW_API_DOMAIN.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider brew --versions)"
needs brew
exec 3>&1
api=${HOMEBREW_API_DOMAIN:-https://formulae.brew.sh/api}
for line in $plan; do
    case $(package "$line") in
        */*) failure "$line" "the formula is from a tap, which Homebrew's API does not have" >&3 ;;
        *) page "$line" "${api%/}/formula/$(package "$line").json" ;;
    esac
done | "$RIGUP" hook versions --registry brew
