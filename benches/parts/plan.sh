# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Finds, merges and plans the 20,000 requirements of 10,000 plugins. Compared with a `find` that reads the same files.

python3 - <<'PLUGINS'
import json, os
for n in range(10_000):
    folder = f"plugins/plugin{n}"
    os.makedirs(folder)
    line = {"type": "Binary", "name": f"tool{n}", "binproviders": "env,apt", "overrides": {"apt": [f"package{n}"]}}
    with open(folder + "/binaries.jsonl", "w") as file:
        file.write(json.dumps(line) + "\n")
    setting = f"PLUGIN{n}_BINARY"
    schema = {
        "type": "object",
        "required_binaries": [{"name": f"{{{setting}}}", "binproviders": "env,apt", "min_version": "1.2"}],
        "properties": {setting: {"type": "string", "default": f"shared{n // 2}"}},
    }
    with open(folder + "/config.json", "w") as file:
        json.dump(schema, file)
    with open(folder + "/on_Snapshot__50_x.sh", "w") as file:
        file.write("#!/bin/sh\n")
PLUGINS
planned=$("$rigup" install --dry-run | wc -l)
[ "$planned" = 15000 ] || { echo "$planned requests were planned, not 15,000" >&2 && exit 1; }
measure plan "$rigup install --dry-run" "find plugins -type f -exec cat {} +"
compare "plan for 20,000 requirements from 10,000 plugins" "find, cat" plan 1
compare_static "plan for 20,000 requirements" install --dry-run
