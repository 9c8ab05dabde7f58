#!/bin/sh
# wget: saves the page at --url with everything that it displays, and makes its links relative.
set -eu

url=
for argument; do case $argument in --url=*) url=${argument#--url=} ;; esac; done
[ -n "$url" ] || { echo "cannot save a page: no --url" >&2; exit 1; }
case $url in http://* | https://*) ;; *) echo "$url is not the address of a web page" >&2; exit 10 ;; esac
echo "fetching" # the first line on stdout: the hooks that follow need not wait any longer

# The record below needs file names in printable ASCII without quotes.
status=0
wget --no-config --no-verbose --output-file=wget.log --timeout=30 --tries=2 --execute robots=off \
    --page-requisites --convert-links --adjust-extension --span-hosts --restrict-file-names=windows,ascii \
    -- "$url" || status=$?

# The page is complete enough if wget cannot fetch one of its requisites (exit code 8).
page=$(sed -n 's/^.* -> "\([^"]*\)" \[[0-9]*\]$/\1/p' wget.log | head -n 1)
if [ -z "$page" ] || { [ "$status" != 0 ] && [ "$status" != 8 ]; }; then
    tail -n 1 wget.log >&2
    exit 1
fi
files=$(find . -type f ! -path ./wget.log | wc -l)
printf '{"type":"ArchiveResult","status":"succeeded","output":"%s","files":%d}\n' "$page" "$files"
