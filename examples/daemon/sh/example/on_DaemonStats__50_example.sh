#!/bin/sh
# example: appends the samples of a daemon to a file, for a program that draws them.
set -eu

for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done
cat >>"$DATA_DIR/$name.stats.jsonl"
