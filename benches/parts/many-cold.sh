# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Fifteen small tools, five from each of three package managers, whose caches are warm. Compared with the best script
# that one would write by hand, which runs the three package managers at once, each with all five packages. Also
# compared with an install of each tool into a folder of its own, as rigup does it: all at once, and one at a time.

what="cold install of 5 pip, 5 npm, 5 apt tools"
[ "$(id -u)" = 0 ] || { skip "$what" "apt-get needs root" && return; }
command -v apt-get >/dev/null || { skip "$what" "apt-get is not on PATH" && return; }
command -v npm >/dev/null || { skip "$what" "npm is not on PATH" && return; }
uv=$(from_pypi uv uv 3.9) || { skip "$what" "$uv" && return; }
base=$(python 3.9) || { skip "$what" "$base" && return; }
mkdir bin && ln -s "$uv" bin/uv
PATH=$PWD/bin:$(dirname "$base"):$PATH
export UV_PYTHON=$base UV_CACHE_DIR=$PWD/cache/uv UV_TOOL_DIR=$PWD/uv UV_TOOL_BIN_DIR=$PWD/uv-bin
export npm_config_cache=$PWD/cache/npm npm_config_update_notifier=false DEBIAN_FRONTEND=noninteractive

is_installed() { dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# Use only tools that are not installed, so that they can be removed.
apt=()
for name in hello figlet pv dos2unix pwgen toilet mg sl cowsay lolcat; do
    [ ${#apt[@]} = 5 ] || is_installed "$name" || apt+=("$name")
done
pip=(pycodestyle pyflakes isort vulture codespell)
npm=(json semver mkdirp nanoid uuid)
apt-get update -q >apt.log 2>&1 || { skip "$what" "apt-get update failed" && return; }
plugin five-apt apt "${apt[@]}"
plugin five-pip pip "${pip[@]}"
plugin five-npm npm "${npm[@]}"

cat >clear.sh <<CLEAR
rm -rf "$RIGUP_DATA_DIR" uv uv-bin venv prefix
apt-get remove -qy --purge ${apt[*]}
CLEAR
cat >together.sh <<TOGETHER
{ uv venv --quiet venv && uv pip install --quiet --python venv/bin/python ${pip[*]}; } &
npm install --prefix prefix --no-audit --no-fund --ignore-scripts ${npm[*]} &
apt-get install -qy --no-install-recommends ${apt[*]} &
wait
TOGETHER
cat >separate.sh <<SEPARATE
for name in ${pip[*]}; do uv tool install --quiet "\$name" & done
for name in ${npm[*]}; do npm install --prefix "prefix/\$name" --no-audit --no-fund --ignore-scripts "\$name" & done
apt-get install -qy --no-install-recommends ${apt[*]} &
wait
SEPARATE
cat >sequential.sh <<SEQUENTIAL
for name in ${pip[*]}; do uv tool install --quiet "\$name"; done
for name in ${npm[*]}; do npm install --prefix "prefix/\$name" --no-audit --no-fund --ignore-scripts "\$name"; done
for name in ${apt[*]}; do apt-get install -qy --no-install-recommends "\$name"; done
SEQUENTIAL
[ "$runs" -lt 4 ] || runs=3
measure many --prepare "sh clear.sh" "$rigup install" "sh together.sh" "sh separate.sh" "sh sequential.sh"
sh clear.sh >apt.log 2>&1
compare "$what" "uv, npm and apt-get at once, five each" many 1 "ratio 1.1"
compare "$what" "at once, a folder for each tool" many 2
compare "$what" "one at a time" many 3 "ratio 0.5"
