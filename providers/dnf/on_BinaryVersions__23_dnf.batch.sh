#!/bin/sh
# dnf: lists the versions of packages in the enabled repositories.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider dnf --versions)"
needs dnf
# shellcheck disable=SC2046 # one package a line
LC_ALL=C.UTF-8 dnf -q repoquery --available --queryformat '%{name} %{evr}\n' $(for line in $plan; do package "$line"; done) |
    list_lines "dnf's repositories do not have"
