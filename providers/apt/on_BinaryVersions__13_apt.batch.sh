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
listed=$(apt-cache madison -- $(for line in $plan; do package "$line"; done) | sed 's/^ *//; s/ *| */ /g')
pages=$PWD/pages.$$
mkdir "$pages" && trap 'rm -rf "$pages"' EXIT
exec 3>&1
for line in $plan; do
    package=$(package "$line")
    case $package in */*) failure "$line" "the package $package states a release" >&3 && continue ;; esac
    printf '%s\n' "$listed" | awk -v package="$package" '$1 == package { print $2 }' >"$pages/$package"
    if [ -s "$pages/$package" ]; then page "$line" "file://$pages/$package"
    else failure "$line" "apt's lists do not have $package" >&3; fi
done | "$RIGUP" hook versions --registry lines
