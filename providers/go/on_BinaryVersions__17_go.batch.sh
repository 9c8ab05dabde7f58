#!/bin/sh
# go: lists the versions of modules that the proxy in GOPROXY has. A package belongs to the module with the longest path that
# the proxy knows.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider go --versions)"
needs go
private=$(cd / && go env GOPRIVATE GONOPROXY | tr -d '\n')
proxy=$(cd / && go env GOPROXY) proxy=${proxy%%[,|]*}
[ -z "$private" ] || decline "GOPRIVATE and GONOPROXY name modules that are not on the proxy"
case $proxy in direct | off) decline "GOPROXY is $proxy, so no proxy lists versions" ;; esac
for line in $plan; do
    # Capitals are written as ! and a small letter.
    module=$(package "$line" | sed 's/[A-Z]/!&/g' | tr '[:upper:]' '[:lower:]')
    while :; do
        case $module in */*) ;; *) break ;; esac
        page "$line" "${proxy%/}/$module/@v/list"
        module=${module%/*}
    done
done | "$RIGUP" hook versions --registry lines
