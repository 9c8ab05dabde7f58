#!/bin/sh
# yarn: lists the versions of Node packages in the npm registry, or in the one that yarn's settings name.
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider yarn --versions)"
file=$HOME/.yarnrc.yml
! grep -qE '^ *(httpProxy|httpsProxy|npmAuth|npmRegistries|npmScopes|.*[cC]aFile)' "$file" 2>/dev/null ||
    decline "yarn's $file has settings for registries that only yarn reads"
for variable in AUTH_IDENT AUTH_TOKEN REGISTRIES SCOPES; do
    eval "[ -z \"\${YARN_NPM_$variable-}\" ]" || decline "YARN_NPM_$variable is for registries that only yarn uses"
done
registry=$(sed -n "s/^npmRegistryServer: *['\"]\{0,1\}\([^'\" ]*\).*/\1/p" "$file" 2>/dev/null) || :
# yarn reads neither the files nor the variables of npm.
for variable in $(env | sed -n 's/^\([nN][pP][mM]_[cC][oO][nN][fF][iI][gG]_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$variable"; done
export npm_config_registry="${YARN_NPM_REGISTRY_SERVER:-${registry:-https://registry.yarnpkg.com}}"
list_node
