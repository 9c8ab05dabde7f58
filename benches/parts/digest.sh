# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# The digest of a 1 GB file: a script that prints its version, padded with zeros. Compared with sha256sum and openssl.

printf '#!/bin/sh\necho 1.0\nexit\n' >big
head -c 1000000000 /dev/zero >>big
chmod +x big
[ "$runs" -lt 6 ] || runs=5
commands=("$rigup hook binary --provider env --abspath $PWD/big -- --name=big" "sha256sum big")
! command -v openssl >/dev/null || commands+=("openssl dgst -sha256 big")
measure digest "${commands[@]}"
compare "sha256 of 1 GB" "sha256sum" digest 1 "ratio 1.0"
[ ${#commands[@]} = 2 ] || compare "sha256 of 1 GB" "openssl dgst" digest 2
