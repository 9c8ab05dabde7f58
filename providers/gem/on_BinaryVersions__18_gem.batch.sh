#!/bin/sh
# gem: lists the versions of gems on RubyGems, or on the source in gem's configuration.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider gem --versions)"
# The files that gem reads. Starting gem to read them would take longer than all else.
user=$HOME/.gemrc
[ -e "$user" ] || user=${XDG_CONFIG_HOME:-$HOME/.config}/gem/gemrc
settings=$(for file in /etc/gemrc "$user" $(printf '%s\n' "${GEMRC-}" | tr ':;' '\n'); do
    cat "$file" 2>/dev/null || :
done)
! printf '%s\n' "$settings" | grep -qE '^:?(gem|install):.* (-s|-p|--source|--clear-sources|--pre|--http-proxy)' ||
    decline "the options in gem's configuration choose the versions or where they come from"
proxy=$(printf '%s\n' "$settings" | sed -n 's/^:\{0,1\}http_proxy: *//p' | tail -n 1)
[ -z "$proxy" ] || export https_proxy="$proxy" http_proxy="$proxy"
sources=$(printf '%s\n' "$settings" | awk '
    /^:?sources:/ { is_in = 1; next }
    /^[^ -]/ { is_in = 0 }
    is_in && /^ *- / { sub(/^ *- */, ""); gsub(/["\047]|[ \t]+$/, ""); print }' | sort -u)
case $sources in
    '') sources=https://rubygems.org ;;
    *"$IFS"*) decline "gem's configuration has several sources, so one page does not tell" ;;
esac
for line in $plan; do
    name=$(package "$line") source=${sources%/}
    # The API of rubygems.org says when a gem was released; every server has the compact index.
    case $source in
        https://rubygems.org) page "$line" "$source/api/v1/versions/$name.json" ;;
        *) page "$line" "$source/info/$name" ;;
    esac
done | "$RIGUP" hook versions --registry gem
