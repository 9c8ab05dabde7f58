# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# The digest of a file of 1 GB: a script that prints its version and has a long tail.

printf '#!/bin/sh\necho 1.0\nexit\n' >big
head -c 1000000000 /dev/zero >>big
chmod +x big
[ "$runs" -lt 6 ] || runs=5
commands=("$rigup hook binary --provider env --abspath $PWD/big -- --name=big" "sha256sum big")
! command -v openssl >/dev/null || commands+=("openssl dgst -sha256 big")
measure digest "${commands[@]}"
tell "sha256 of 1 GB" "sha256sum" digest 1 "ratio 1.0"
[ ${#commands[@]} = 2 ] || tell "sha256 of 1 GB" "openssl dgst" digest 2
