#!/bin/sh
# wget: saves the page at --url with all of its resources, and makes its links relative.
set -eu

url=
for argument; do case $argument in --url=*) url=${argument#--url=} ;; esac; done
[ -n "$url" ] || { echo "cannot save a page: no --url" >&2; exit 1; }
case $url in http://* | https://*) ;; *) echo "$url is not the address of a web page" >&2; exit 10 ;; esac
echo "fetching" # the first line on stdout lets the next hooks start

# The record below needs file names in printable ASCII without quotes.
status=0
wget --no-config --no-verbose --output-file=wget.log --timeout=30 --tries=2 --execute robots=off \
    --page-requisites --convert-links --adjust-extension --span-hosts --restrict-file-names=windows,ascii \
    -- "$url" || status=$?

# Exit code 8 means that wget could not fetch one of the page's resources, which is not a failure of this hook.
page=$(sed -n 's/^.* -> "\([^"]*\)" \[[0-9]*\]$/\1/p' wget.log | head -n 1)
if [ -z "$page" ] || { [ "$status" != 0 ] && [ "$status" != 8 ]; }; then
    tail -n 1 wget.log >&2
    exit 1
fi
files=$(find . -type f ! -path ./wget.log | wc -l)
printf '{"type":"ArchiveResult","status":"succeeded","output_str":"%s","files":%d}\n' "$page" "$files"
