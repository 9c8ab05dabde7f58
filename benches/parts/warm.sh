# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# An install of twenty installed programs, for which rigup starts no process. Compared with abxpkg's Python API, which
# finds the same twenty in its cache: once for the whole process, and once without its imports. An install of one
# installed tool is compared with mise.

read -ra names <<<"$(programs)"
plugin twenty env "${names[@]}"
"$rigup" install --quiet >/dev/null
compare_static "warm install of 20" install
if abxpkg=$(from_pypi abxpkg python 3.12); then
    version abxpkg "$abxpkg" -c 'import importlib.metadata; print(importlib.metadata.version("abxpkg"))'
    version "Python (for abxpkg)" "$abxpkg" --version
    export ABXPKG_LIB_DIR=$PWD/abxpkg
    cat >twenty.py <<'TWENTY'
import sys, time
begin = time.perf_counter()
from abxpkg import Binary, env
ready = time.perf_counter()
found = [Binary(name=name, binproviders=[env]).load() for name in sys.argv[1:]]
assert all(binary.abspath and binary.version for binary in found)
with open("resolved", "a") as file:
    print(1000 * (time.perf_counter() - ready), file=file)
TWENTY
    measure warm "$rigup install" "$abxpkg twenty.py ${names[*]}"
    compare "warm install of 20" "abxpkg, including process start" warm 1 "below 8" "ratio 0.025"
    resolved=$(python3 -c 'import statistics; times = [*map(float, open("resolved"))]; print(statistics.median(times), min(times))')
    row "warm install of 20" "abxpkg, after its imports" "$(times warm 0)" "$resolved" ms
else
    skip "warm install of 20, by abxpkg" "$abxpkg"
    measure warm "$rigup install" "$rigup --version"
    compare "warm install of 20" "rigup --version" warm 1 "below 8"
fi

if mise=$(from_npm @jdxcode/mise mise); then
    version mise "$mise" --version
    for folder in DATA CACHE CONFIG STATE; do export "MISE_${folder}_DIR=$PWD/mise/$folder"; done
    export MISE_YES=1 MISE_OFFLINE=1 MISE_TRUSTED_CONFIG_PATHS=$PWD
    mkdir -p one/plugins tool/bin && ln -s "$(command -v bash)" tool/bin/node
    printf '[tools]\nnode = "path:%s"\n' "$PWD/tool" >one/mise.toml
    (cd one && plugin one env bash && "$rigup" install --quiet >/dev/null)
    measure one "env -C one $rigup install" "env -C one $mise install"
    compare "warm install of 1" "mise install" one 1
else
    skip "warm install of 1, by mise" "$mise"
fi
