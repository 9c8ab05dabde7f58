# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# One small tool from npm into a new data dir, with a warm npm cache. With a new LIB_DIR, rigup first checks whether the
# registry has release dates, unless any age is allowed.

command -v npm >/dev/null || { skip "one npm tool cold" "npm is not on PATH" && return; }
tool=json
export npm_config_cache=$PWD/cache npm_config_update_notifier=false
version npm npm --version
version Node.js node --version
measure npm --prepare "rm -rf $RIGUP_DATA_DIR prefix" "$rigup install $tool --binproviders npm" \
    "$rigup install $tool --binproviders npm --min-release-age 0" "npm install --prefix prefix $tool"
compare "one npm tool cold" "npm install --prefix" npm 2 "ratio 1.1"
row "one npm tool cold, --min-release-age 0" "npm install --prefix" "$(times npm 1)" "$(times npm 2)" ms "ratio 1.1"
