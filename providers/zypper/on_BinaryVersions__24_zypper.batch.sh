#!/bin/sh
# zypper: lists the versions of packages in the enabled repositories.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider zypper --versions)"
needs zypper
# The lines are `i | jq | package | 1.6-2.1 | x86_64 | repository`. A package that no repository has is one of the system.
# shellcheck disable=SC2046 # one package a line
LC_ALL=C.UTF-8 LANGUAGE='' zypper --quiet --non-interactive search --details --match-exact --type package \
    $(for line in $plan; do package "$line"; done) | awk -F ' *[|] *' '$6 !~ /^\(/ && NF >= 6 { print $2, $4 }' |
    list_lines "zypper's repositories do not have"
