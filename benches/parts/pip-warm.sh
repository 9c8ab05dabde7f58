# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# One small tool from a registry on this machine that sends the cache headers of PyPI, with a warm cache: what the provider
# itself takes, without the network.

tool=pycodestyle
base=$(python 3.9) || { skip "one pip tool, warm cache" "$base" && return; }
uv=$(from_pypi uv uv 3.9) || { skip "one pip tool, warm cache" "$uv" && return; }
with_registry
mkdir bin && ln -s "$uv" bin/uv
PATH=$PWD/bin:$(dirname "$base"):$PATH # the interpreter itself, because a pyenv shim is slow to start it
export UV_DEFAULT_INDEX=$registry/simple UV_PYTHON=$base
export UV_CACHE_DIR=$PWD/cache UV_TOOL_DIR=$PWD/uv UV_TOOL_BIN_DIR=$PWD/uv-bin
version uv uv --version

commands=("$rigup install $tool --binproviders pip" "uv tool install --quiet $tool")
clear="rm -rf $RIGUP_DATA_DIR uv uv-bin"
if mise=$(from_npm @jdxcode/mise mise); then
    version mise "$mise" --version
    with_mise
    commands+=("$mise install pipx:$tool")
    clear="$clear mise/DATA/installs"
fi
measure pip --prepare "$clear" "${commands[@]}"
compare "one pip tool, warm cache" "uv tool install" pip 1 "ratio 1.6"
if [ "${commands[2]-}" ]; then compare "one pip tool, warm cache" "mise install pipx:" pip 2 "ratio 1.0"
else skip "one pip tool, warm cache, by mise" "$mise"; fi
