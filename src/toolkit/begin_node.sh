# shellcheck shell=sh disable=SC2034,SC2154
# The code of a hook that installs Node packages with npm or pnpm.
# Makes $part, with a package.json, and changes to a folder without parents, without the options for another project. Sets
# `settings` to the variables and the user's settings, also those in the files after $1, and `retry` to options with the
# prefix $1: between attempts to reach a registry, npm and pnpm wait for a minute, unless the settings say otherwise.
begin_node() {
    make_part package.json
    [ -e "$part/package.json" ] || echo '{"private": true}' >"$part/package.json"
    cd /
    unset NODE_PATH npm_config_workspace NPM_CONFIG_WORKSPACE
    NODE_OPTIONS=$(printf %s "${NODE_OPTIONS:-}" | tr ' ' '\n' | grep -E '^--(dns|max|openssl|tls|use)-' | tr '\n' ' ') || :
    export NODE_OPTIONS
    retry=$(printf '%s\n' "$1fetch-retry-mintimeout=1000" "$1fetch-retry-maxtimeout=3000")
    shift
    settings=$({ env; cat "${NPM_CONFIG_USERCONFIG:-${npm_config_userconfig:-$HOME/.npmrc}}" "$@"; } 2>/dev/null) || :
    ! printf '%s\n' "$settings" | grep -qiE '^ *(p?npm_config_)?fetch.?retr' || retry=
}
