# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# One small tool from PyPI into a new data dir, with a warm cache of the package manager: with uv, and without.

tool=pycodestyle
base=$(python 3.9) || { skip "one pip tool cold" "$base" && return; }
PATH=$(dirname "$base"):$PATH # the interpreter itself, because a pyenv shim is slow to start it
export PIP_CACHE_DIR=$PWD/cache/pip UV_CACHE_DIR=$PWD/cache/uv UV_TOOL_DIR=$PWD/uv UV_TOOL_BIN_DIR=$PWD/uv-bin
export PIP_DISABLE_PIP_VERSION_CHECK=1
version Python "$base" --version
version pip "$base" -m pip --version

clear="rm -rf $RIGUP_DATA_DIR uv uv-bin venv"
if uv=$(from_pypi uv uv 3.9); then
    version uv "$uv" --version
    # Both use the same Python. PATH gets only a link to uv, because the folder of uv contains another Python.
    mkdir bin && ln -s "$uv" bin/uv
    export UV_PYTHON=$base
    with_uv=$PWD/bin:$PATH
    PATH=$with_uv measure uv --prepare "$clear" \
        "$rigup install $tool --binproviders pip" "uv tool install --quiet $tool"
    compare "one pip tool cold, uv on PATH" "uv tool install" uv 1 "ratio 1.2"
else
    skip "one pip tool cold, uv on PATH" "$uv"
fi

PATH=$(path_without uv)
measure pip --prepare "$clear" \
    "$rigup install $tool --binproviders pip" "sh -c 'python3 -m venv venv && venv/bin/pip install --quiet $tool'"
compare "one pip tool cold, no uv" "python3 -m venv, pip install" pip 1 "ratio 0.5"
