#!/bin/sh
# node: lists the versions of Node.js and npm on nodejs.org/dist, or on the mirror that NODEJS_ORG_MIRROR names.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider node --versions)"
mirror=${NODEJS_ORG_MIRROR:-https://nodejs.org/dist}
for line in $plan; do page "$line" "${mirror%/}/index.json"; done | "$RIGUP" hook versions --registry node
