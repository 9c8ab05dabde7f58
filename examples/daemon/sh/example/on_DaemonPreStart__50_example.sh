#!/bin/sh
# example: keeps a daemon from starting while the disk of its data is nearly full.
set -eu

for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done
free=$(df -Pk "$DATA_DIR" | awk 'NR == 2 { print $4 }')
if [ "$free" -lt "${EXAMPLE_MIN_FREE_KB:-102400}" ]; then
    # The last line of stderr becomes the last_error of the daemon.
    echo "$name needs more free space than $free KiB in $DATA_DIR" >&2
    exit 1
fi
