# shellcheck shell=bash
# The programs that compare.sh installs. Each function prints the path of a program, or prints a reason and fails.
# shellcheck disable=SC2154 # compare.sh sets tools

# python MIN_VERSION: prints the path of a Python with the venv module. Runs each candidate, because a pyenv shim may be
# on PATH although no version is installed.
python() {
    local candidate
    for candidate in python3.12 python3.13 python3.14 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
        if "$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${1/./, }))" 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "no Python $1 or later with venv was found"
    return 1
}

# from_pypi PACKAGE PROGRAM MIN_VERSION: installs a package into a venv of its own, byte-compiled. MIN_VERSION is that
# of Python.
from_pypi() {
    local python venv=$tools/$1
    if [ ! -x "$venv/bin/$2" ]; then
        python=$(python "$3") || { echo "$python" && return 1; }
        rm -rf "$venv" && mkdir -p "$tools"
        if ! "$python" -m venv "$venv" >"$tools/log" 2>&1 ||
            ! "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --compile "$1" >>"$tools/log" 2>&1; then
            echo "cannot install $1 from PyPI: $(tail -n 1 "$tools/log")"
            rm -rf "$venv"
            return 1
        fi
    fi
    echo "$venv/bin/$2"
}

# from_npm PACKAGE PROGRAM: installs a package into a prefix of its own.
from_npm() {
    local prefix=$tools/$2
    if [ ! -x "$prefix/node_modules/.bin/$2" ]; then
        command -v npm >/dev/null || { echo "npm is not on PATH" && return 1; }
        mkdir -p "$prefix"
        if ! npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error "$1" >"$tools/log" 2>&1 ||
            ! "$prefix/node_modules/.bin/$2" --version >/dev/null 2>&1; then
            echo "cannot install $1 from npm: $(grep -v '^npm warn' "$tools/log" | tail -n 1)"
            rm -rf "$prefix"
            return 1
        fi
    fi
    echo "$prefix/node_modules/.bin/$2"
}

# with_registry: starts the registry of benches/registry.py, which is killed with this part, and sets `registry` to its
# address. The settings of the user's package managers, which may name another registry, do not apply.
with_registry() {
    local index npm
    index=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null)} || index=https://pypi.org/simple
    npm=$(npm config get registry 2>/dev/null) || npm=https://registry.npmjs.org
    python3 "$root/benches/registry.py" "$index" "$npm" >registry.url 2>registry.log &
    # shellcheck disable=SC2064 # the pid of now
    trap "kill $!" EXIT
    until [ -s registry.url ]; do kill -0 $! && sleep 0.05; done
    registry=$(cat registry.url)
    unset "${!PIP_@}" "${!UV_@}" "${!npm_config_@}"
    mkdir -p home/.config
    export HOME=$PWD/home XDG_CONFIG_HOME=$PWD/home/.config
}

# with_mise: makes mise use the registry, and folders of its own.
with_mise() {
    local folder
    for folder in DATA CACHE CONFIG STATE; do export "MISE_${folder}_DIR=$PWD/mise/$folder"; done
    export MISE_PIPX_REGISTRY_URL=$registry/pypi/{}/json MISE_YES=1
}

# version NAME PROGRAM [ARG...]: records the version of a program for the documentation.
version() { figures version "$rows" "$1" "$("${@:2}" 2>/dev/null | head -n 1)"; }

# path_without NAME: prints PATH without the folders that contain this program.
path_without() {
    local folder kept=()
    while IFS= read -r -d : folder; do [ -x "$folder/$1" ] || kept+=("$folder"); done <<<"$PATH:"
    (IFS=: && echo "${kept[*]}")
}
