#!/bin/sh
# example: keeps a log of restarts.
set -eu

restarts=0
for arg; do case $arg in --name=*) name=${arg#--name=} ;; --restarts=*) restarts=${arg#--restarts=} ;; esac; done
printf '%s %s was restarted (%s)\n' "$(date -u +%FT%TZ)" "$name" "$restarts" >>"$DATA_DIR/example.log"
