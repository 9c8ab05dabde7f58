# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Starts and records a run that outlives its caller. Compared with a shell that starts a process and records nothing.

measure start "$rigup start --slug bench -- true" "sh -c 'setsid true >/dev/null 2>&1 &'"
compare "start of a detached run" "sh: setsid true &" start 1
compare_static "start of a detached run" start --slug bench -- true
compare_static "--version" --version
