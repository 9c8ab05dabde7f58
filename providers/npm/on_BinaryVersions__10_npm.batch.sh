#!/bin/sh
# npm: lists the versions of Node packages in the npm registry, or in those that npm's settings name.
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider npm --versions)"
npm=$(command -v npm) || npm=
list_node /etc/npmrc "${npm%/bin/npm}/etc/npmrc" "${NPM_CONFIG_USERCONFIG:-${npm_config_userconfig:-$HOME/.npmrc}}"
