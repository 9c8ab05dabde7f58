#!/bin/sh
# bun: lists the versions of Node packages in the npm registry, or in those that ~/.npmrc names.
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider bun --versions)"
for file in "$HOME/.bunfig.toml" "${XDG_CONFIG_HOME:-$HOME/.config}/.bunfig.toml"; do
    ! grep -qE '^ *\[?(install\.)?(registry|scopes)' "$file" 2>/dev/null ||
        decline "bun's $file names registries, which only bun reads"
done
[ -z "${BUN_CONFIG_REGISTRY:-}" ] || decline "BUN_CONFIG_REGISTRY names a registry, which only bun uses"
list_node "$HOME/.npmrc"
