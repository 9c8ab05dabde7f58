# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Warm installs of 10 to 10,000 requirements, ten per plugin, compared with a `find` over the same links.

python3 - <<'PLUGINS'
import json, os
for count in (10, 100, 1_000, 10_000):
    os.makedirs(f"{count}/bin")
    with open(f"{count}/records.jsonl", "w") as records:
        for n in range(count):
            os.makedirs(f"{count}/plugins/plugin{n // 10}", exist_ok=True)
            path = os.path.abspath(f"{count}/bin/tool{n}")
            with open(path, "w") as program:
                program.write(f"#!/bin/sh\necho 1.{n}\n")
            os.chmod(path, 0o755)
            binary = {"type": "Binary", "name": f"tool{n}", "binproviders": "env"}
            with open(f"{count}/plugins/plugin{n // 10}/binaries.jsonl", "a") as file:
                file.write(json.dumps(binary) + "\n")
            records.write(json.dumps(binary | {"abspath": path, "version": f"1.{n}"}) + "\n")
PLUGINS
for count in 10 100 1000 10000; do
    export RIGUP_DATA_DIR=$PWD/$count/data LIB_BIN_DIR=$PWD/$count/links
    (cd $count && "$rigup" apply records.jsonl >/dev/null)
    [ "$(find "$LIB_BIN_DIR" -maxdepth 1 -xtype f | wc -l)" = $count ] || { echo "not all $count programs are linked" >&2 && exit 1; }
    measure $count "env -C $count $rigup install" "find $LIB_BIN_DIR -maxdepth 1 -xtype f"
    limit=()
    [ $count != 10000 ] || limit=("below 150")
    compare "warm install of $count" "find -maxdepth 1 -xtype f" $count 1 "${limit[@]}"
done
ten_times=$(python3 -c 'import sys; print(*(10 * float(time) for time in sys.argv[1].split()))' "$(times 1000 0)")
row "warm install of 10000" "10 × the time for 1000" "$(times 10000 0)" "$ten_times" ms "ratio 1.0"
