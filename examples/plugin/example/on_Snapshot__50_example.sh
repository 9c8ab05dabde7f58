#!/bin/sh
# example: notes the address of the page at --url. Replace the note by what your plugin makes of the page.
set -eu

url=
for arg; do case $arg in --url=*) url=${arg#--url=} ;; esac; done
case $url in http://* | https://*) ;; *) echo "not a web page: $url" >&2; exit 10 ;; esac

# Written aside, then renamed: half a file is never taken for the whole.
printf '%s\n' "$url" >example.part
mv example.part example.txt
printf '{"type":"ArchiveResult","status":"succeeded","output":"example.txt"}\n'
