#!/bin/sh
# pnpm: lists the versions of Node packages in the npm registry, or in those that the settings of npm and pnpm name.
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider pnpm --versions)"
config=${XDG_CONFIG_HOME:-$HOME/.config}/pnpm
! grep -qiE '^ *(registries|registry|.*:registry)' "$config/config.yaml" 2>/dev/null ||
    decline "pnpm's $config/config.yaml names registries, which only pnpm reads"
list_node /etc/npmrc "${NPM_CONFIG_USERCONFIG:-${npm_config_userconfig:-$HOME/.npmrc}}" "$config/rc"
