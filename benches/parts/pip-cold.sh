# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# One small tool from PyPI into an empty data dir, the package manager's own cache being warm: with uv, and without.

tool=pycodestyle
base=$(python 3.9) || { skip "one pip tool cold" "$base" && return; }
PATH=$(dirname "$base"):$PATH # and not a shim, which takes its time before Python starts
export PIP_CACHE_DIR=$PWD/cache/pip UV_CACHE_DIR=$PWD/cache/uv UV_TOOL_DIR=$PWD/uv UV_TOOL_BIN_DIR=$PWD/uv-bin
export PIP_DISABLE_PIP_VERSION_CHECK=1
version Python "$base" --version
version pip "$base" -m pip --version

clear="rm -rf $RIGUP_DATA_DIR uv uv-bin venv"
if uv=$(from_pypi uv uv 3.9); then
    version uv "$uv" --version
    # Both take the same Python; a link alone on PATH, for beside uv there is another one.
    mkdir bin && ln -s "$uv" bin/uv
    export UV_PYTHON=$base
    with_uv=$PWD/bin:$PATH
    PATH=$with_uv measure uv --prepare "$clear" \
        "$rigup install $tool --binproviders pip" "uv tool install --quiet $tool"
    tell "one pip tool cold, uv on PATH" "uv tool install" uv 1 "ratio 1.2"
else
    skip "one pip tool cold, uv on PATH" "$uv"
fi

PATH=$(without uv)
measure pip --prepare "$clear" \
    "$rigup install $tool --binproviders pip" "sh -c 'python3 -m venv venv && venv/bin/pip install --quiet $tool'"
tell "one pip tool cold, no uv" "python3 -m venv, pip install" pip 1 "ratio 0.5"
