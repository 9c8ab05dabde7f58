#!/bin/sh
# pacman: lists the version of packages in pacman's lists.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider pacman --versions)"
needs pacman
# shellcheck disable=SC2046 # one package a line
LC_ALL=C.UTF-8 pacman -Si -- $(for line in $plan; do package "$line"; done) | awk '
    /^Name +:/ { name = $3 }
    /^Version +:/ { print name, $3 }' | list_lines "pacman's lists do not have"
