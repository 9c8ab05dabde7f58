#!/bin/sh
# wget: the page at --url with all that it needs to be shown, its links made relative.
set -eu

url=
for argument; do case $argument in --url=*) url=${argument#--url=} ;; esac; done
[ -n "$url" ] || { echo "no --url was given" >&2; exit 1; }
case $url in http://* | https://*) ;; *) echo "$url is no web page" >&2; exit 10 ;; esac
echo "fetching" # whoever runs this need not wait any longer

# File names of nothing but printable ASCII without quotes: they stand in a record below.
status=0
wget --no-config --no-verbose --output-file=wget.log --timeout=30 --tries=2 --execute robots=off \
    --page-requisites --convert-links --adjust-extension --span-hosts --restrict-file-names=windows,ascii \
    -- "$url" || status=$?

# A requisite that is missing (exit 8) does not take the page away.
page=$(sed -n 's/^.* -> "\([^"]*\)" \[[0-9]*\]$/\1/p' wget.log | head -n 1)
if [ -z "$page" ] || { [ "$status" != 0 ] && [ "$status" != 8 ]; }; then
    tail -n 1 wget.log >&2
    exit 1
fi
files=$(find . -type f ! -path ./wget.log | wc -l)
printf '{"type":"ArchiveResult","status":"succeeded","output":"%s","files":%d}\n' "$page" "$files"
