#!/bin/sh
# apt: lists the versions of packages in apt's lists.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider apt --versions)"
needs apt-cache "it is part of apt"
# One call for all; the lines are `git | 1:2.39.5-0+deb12u2 | http://deb.debian.org ...`.
# shellcheck disable=SC2046 # one package a line
apt-cache madison -- $(for line in $plan; do package "$line"; done) | awk -F ' *[|] *' '{ sub(/^ */, ""); print $1, $2 }' |
    list_lines "apt's lists do not have"
