#!/bin/sh
# example: writes the address of the page at --url to a file. Replace this with the work of your plugin.
set -eu

url=
for arg; do case $arg in --url=*) url=${arg#--url=} ;; esac; done
case $url in http://* | https://*) ;; *) echo "$url is not the address of a web page" >&2; exit 10 ;; esac

# Write to a temporary file and rename it, so that the file either is complete or does not exist.
printf '%s\n' "$url" >example.part
mv example.part example.txt
printf '{"type":"ArchiveResult","status":"succeeded","output_str":"example.txt"}\n'
