#!/bin/sh
# example: keeps the pid of a ready daemon in a file for other programs.
set -eu

pid=
for arg; do case $arg in --name=*) name=${arg#--name=} ;; --pid=*) pid=${arg#--pid=} ;; esac; done
# Write to a temporary file and rename it, so that no reader sees half a pid.
printf '%s\n' "$pid" >"$DATA_DIR/$name.pid.part"
mv "$DATA_DIR/$name.pid.part" "$DATA_DIR/$name.pid"
