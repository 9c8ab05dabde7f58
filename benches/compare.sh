#!/usr/bin/env bash
# What rigup costs beside what it stands in for: every figure next to a yardstick that was measured in the same run.
# Needs hyperfine and python3.   [BENCH_DIR=folder] benches/compare.sh [RUNS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-20}
cargo build --release --locked --quiet
rigup=$(realpath "${CARGO_TARGET_DIR:-target}")/release/rigup
# Off the disk where that can be: how long a file takes to make there depends on what was deleted a minute ago.
scratch=$(mktemp -d -p "${BENCH_DIR:-$(if [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi)}")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
unset "${!RIGUP_@}" DATA_DIR LIB_DIR LIB_BIN_DIR TIMEOUT
export RIGUP_DATA_DIR=$scratch/data

measure() { hyperfine --shell=none --warmup 3 --runs "$runs" --export-json "$1.json" "${@:2}" >/dev/null 2>&1; }

# median FILE INDEX: in milliseconds.
median() { python3 -c 'import json, sys; print(1000 * json.load(open(sys.argv[1]))["results"][int(sys.argv[2])]["median"])' "$1.json" "$2"; }

# tell WHAT FILE: the first command of the file beside the second, the yardstick.
tell() { printf '%-58s %8.1f ms  %8.1f ms  %5.2f x\n' "$1" "$(median "$2" 0)" "$(median "$2" 1)" "$(ratio "$2")"; }
ratio() { python3 -c 'import sys; print(float(sys.argv[1]) / float(sys.argv[2]))' "$(median "$1" 0)" "$(median "$1" 1)"; }

printf '%-58s %11s  %11s  %7s\n' "" rigup yardstick ratio

# 200 hooks that do nothing, with a run dir, two logs, a record and an ending each; a shell that starts the same files.
mkdir -p plugins/noop
for n in $(seq 200); do
    printf '#!/bin/sh\n' >"plugins/noop/on_Noop__${n}_noop.sh"
    chmod +x "plugins/noop/on_Noop__${n}_noop.sh"
done
cat >loop.sh <<'LOOP'
out=out.$$
mkdir "$out"
for hook in plugins/noop/*.sh; do "./$hook" >"$out/${hook##*/}.out" 2>"$out/${hook##*/}.err"; done
LOOP
measure hooks "$rigup run Noop" "sh loop.sh"
tell "200 no-op hooks (a shell loop)" hooks

# A run that outlives its caller, started and recorded; a shell that starts one and forgets it.
measure start "$rigup start --slug bench -- true" "sh -c 'setsid true >/dev/null 2>&1 &'"
tell "start of a detached run (sh: setsid true &)" start

# 1,000 runs started one after the other, all of them seen to their ends.
export RIGUP_DATA_DIR=$scratch/thousand
begin=$(date +%s%N)
for _ in $(seq 1000); do "$rigup" start --slug many -- true >/dev/null; done
end=$(date +%s%N)
"$rigup" process list --slug many -n 1000 --json | python3 -c 'import json, sys; print(*(json.loads(it)["id"] for it in sys.stdin))' |
    xargs "$rigup" process wait >/dev/null
python3 - "$RIGUP_DATA_DIR" "$begin" "$end" <<'CHECK'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1] + "/rigup.sqlite3")
states = store.execute("SELECT status, exit_reason, exit_code, count(*) FROM process GROUP BY 1, 2, 3").fetchall()
assert states == [("exited", "exited", 0, 1000)], states
assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
print(f"1,000 runs started and finished: {(int(sys.argv[3]) - int(sys.argv[2])) / 1e9:.1f} s; the store is consistent")
CHECK

# The newest 50 of 100,000 records; a rigup that reads nothing.
python3 - "$RIGUP_DATA_DIR" <<'FILL'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1] + "/rigup.sqlite3")
columns = [row[1] for row in store.execute("PRAGMA table_info(process)")]
row = dict(zip(columns, store.execute("SELECT * FROM process LIMIT 1").fetchone()))
rows = []
for n in range(99_000):
    row["id"] = f"{n:08x}-0000-7000-8000-000000000000"
    rows.append(list(row.values()))
store.executemany(f"INSERT INTO process ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", rows)
store.commit()
FILL
measure list "$rigup process list -n 50" "$rigup --version"
tell "process list -n 50 of 100,000 records (rigup --version)" list

# What rigup itself needs of memory while a hook writes 1 GB, none of it cut off.
mkdir -p plugins/loud
printf '#!/bin/sh\nhead -c 1000000000 /dev/zero | tr "\\0" "x" | fold -w 200\n' >plugins/loud/on_Loud__1_loud.sh
RIGUP_OUTPUT_LIMIT=2000 python3 - "$rigup" <<'MEMORY'
import os, subprocess, sys
child = subprocess.Popen([sys.argv[1], "run", "Loud"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, _ = os.wait4(child.pid, os.WNOHANG)
peak = 0
while os.waitpid(child.pid, os.WNOHANG)[0] == 0:
    try:
        peak = max(peak, *(int(it.split()[1]) for it in open(f"/proc/{child.pid}/status") if it.startswith("VmHWM")))
    except (OSError, TypeError, ValueError):
        pass
print(f"a hook that writes 1 GB: rigup's own memory peaks at {peak / 1000:.1f} MB")
MEMORY

# 10,000 plugins with 20,000 requirements: found, merged and planned; a `find` that reads the same files.
mkdir many && cd many
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
measure plan "$rigup install --dry-run" "find plugins -type f -exec cat {} +"
tell "plan of 20,000 requirements of 10,000 plugins (find, cat)" plan
python3 - "$rigup" <<'MEMORY'
import os, subprocess, sys
child = subprocess.Popen([sys.argv[1], "install", "--dry-run"], stdout=subprocess.PIPE)
planned = sum(1 for _ in child.stdout)
_, status, usage = os.wait4(child.pid, 0)
assert status == 0 and planned == 15_000, (status, planned)
print(f"the same: {planned} requests planned, rigup's memory peaks at {usage.ru_maxrss / 1000:.1f} MB")
MEMORY
