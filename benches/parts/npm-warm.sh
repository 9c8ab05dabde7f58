# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# One small tool from a registry on this machine that sends the cache headers of npm's, with a warm cache: with bun on PATH,
# and without.

tool=json
command -v npm >/dev/null || { skip "one npm tool, warm cache" "npm is not on PATH" && return; }
with_registry
export npm_config_registry=$registry/npm/ npm_config_cache=$PWD/cache/npm npm_config_update_notifier=false
export BUN_INSTALL_CACHE_DIR=$PWD/cache/bun
version npm npm --version
version Node.js node --version

commands=("$rigup install $tool --binproviders npm" "npm install --prefix prefix $tool")
clear="rm -rf $RIGUP_DATA_DIR prefix"
if mise=$(from_npm @jdxcode/mise mise); then
    version mise "$mise" --version
    with_mise
    commands+=("$mise install npm:$tool")
    clear="$clear mise/DATA/installs"
fi
if bun=$(from_npm bun bun); then
    version bun "$bun" --version
    mkdir bin && ln -s "$bun" bin/bun
    PATH=$PWD/bin:$PATH measure bun --prepare "$clear" "${commands[@]}"
    compare "one npm tool, warm cache, bun on PATH" "npm install --prefix" bun 1 "ratio 0.3"
    [ -z "${commands[2]-}" ] || compare "one npm tool, warm cache, bun on PATH" "mise install npm:" bun 2 "ratio 1.0"
else
    skip "one npm tool, warm cache, bun on PATH" "$bun"
fi
PATH=$(path_without bun)
measure npm --prepare "$clear" "${commands[@]:0:2}"
compare "one npm tool, warm cache, no bun" "npm install --prefix" npm 1
[ "${commands[2]-}" ] || skip "one npm tool, warm cache, by mise" "$mise"
