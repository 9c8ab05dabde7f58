#!/bin/sh
# example: keeps a log of daemons that have failed for good. Send a message to yourself here.
set -eu

error=
for arg; do case $arg in --name=*) name=${arg#--name=} ;; --last-error=*) error=${arg#--last-error=} ;; esac; done
printf '%s %s failed: %s\n' "$(date -u +%FT%TZ)" "$name" "$error" >>"$DATA_DIR/example.log"
