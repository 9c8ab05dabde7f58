# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# A run that outlives its caller, started and recorded; a shell that starts one and forgets it.

measure start "$rigup start --slug bench -- true" "sh -c 'setsid true >/dev/null 2>&1 &'"
tell "start of a detached run" "sh: setsid true &" start 1
