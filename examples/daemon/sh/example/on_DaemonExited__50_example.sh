#!/bin/sh
# example: removes the file with the pid of a daemon that has ended.
set -eu

for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done
rm -f "$DATA_DIR/$name.pid"
