# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# Fifteen small tools, five of each of three package managers, whose caches are warm. Beside the best line that one would
# write by hand: the three at once, each asked for all five. Then, as rigup has it, each tool in a place of its own: all
# at once, and one after the other.

what="cold install of 5 pip, 5 npm, 5 apt tools"
[ "$(id -u)" = 0 ] || { skip "$what" "only root may use apt" && return; }
command -v apt-get >/dev/null || { skip "$what" "apt-get is not on PATH" && return; }
command -v npm >/dev/null || { skip "$what" "npm is not on PATH" && return; }
uv=$(from_pypi uv uv 3.9) || { skip "$what" "$uv" && return; }
base=$(python 3.9) || { skip "$what" "$base" && return; }
mkdir bin && ln -s "$uv" bin/uv
PATH=$PWD/bin:$(dirname "$base"):$PATH
export UV_PYTHON=$base UV_CACHE_DIR=$PWD/cache/uv UV_TOOL_DIR=$PWD/uv UV_TOOL_BIN_DIR=$PWD/uv-bin
export npm_config_cache=$PWD/cache/npm npm_config_update_notifier=false DEBIAN_FRONTEND=noninteractive

is_installed() { dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# Only what is not there may be taken away again.
apt=()
for name in hello figlet pv dos2unix pwgen toilet mg sl cowsay lolcat; do
    [ ${#apt[@]} = 5 ] || is_installed "$name" || apt+=("$name")
done
pip=(pycodestyle pyflakes isort vulture codespell)
npm=(json semver mkdirp nanoid uuid)
apt-get update -q >apt.log 2>&1 || { skip "$what" "apt-get update fails" && return; }
plugin five-apt apt "${apt[@]}"
plugin five-pip pip "${pip[@]}"
plugin five-npm npm "${npm[@]}"

cat >clear.sh <<CLEAR
rm -rf "$RIGUP_DATA_DIR" uv uv-bin venv prefix
apt-get remove -qy --purge ${apt[*]}
CLEAR
cat >line.sh <<LINE
{ uv venv --quiet venv && uv pip install --quiet --python venv/bin/python ${pip[*]}; } &
npm install --prefix prefix --no-audit --no-fund --ignore-scripts ${npm[*]} &
apt-get install -qy --no-install-recommends ${apt[*]} &
wait
LINE
cat >apart.sh <<APART
for name in ${pip[*]}; do uv tool install --quiet "\$name" & done
for name in ${npm[*]}; do npm install --prefix "prefix/\$name" --no-audit --no-fund --ignore-scripts "\$name" & done
apt-get install -qy --no-install-recommends ${apt[*]} &
wait
APART
cat >one.sh <<ONE
for name in ${pip[*]}; do uv tool install --quiet "\$name"; done
for name in ${npm[*]}; do npm install --prefix "prefix/\$name" --no-audit --no-fund --ignore-scripts "\$name"; done
for name in ${apt[*]}; do apt-get install -qy --no-install-recommends "\$name"; done
ONE
[ "$runs" -lt 4 ] || runs=3
measure many --prepare "sh clear.sh" "$rigup install" "sh line.sh" "sh apart.sh" "sh one.sh"
sh clear.sh >apt.log 2>&1
tell "$what" "uv, npm and apt-get at once, five each" many 1 "ratio 1.1"
tell "$what" "at once, a folder for each tool" many 2
tell "$what" "one at a time" many 3 "ratio 0.5"
