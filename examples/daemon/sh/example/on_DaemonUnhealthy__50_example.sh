#!/bin/sh
# example: keeps what the processes of the group of an unhealthy daemon do, before a restart ends them.
set -eu

pid=
for arg; do case $arg in --name=*) name=${arg#--name=} ;; --pid=*) pid=${arg#--pid=} ;; esac; done
[ -n "$pid" ] || exit 10
ps -o pid,ppid,stat,etime,rss,args -g "$pid" >"$DATA_DIR/$name.unhealthy.txt"
