# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Starts 1,000 runs one after another, and checks that all exits are recorded. Compared with a shell that starts as many
# processes and records nothing.

begin=$(now)
for _ in $(seq 1000); do "$rigup" start --slug many -- true >/dev/null; done
started=$(now)
for _ in $(seq 1000); do sh -c 'setsid true >/dev/null 2>&1 &'; done
end=$(now)
"$rigup" process list --slug many -n 1000 --json | python3 -c 'import json, sys; print(*(json.loads(line)["id"] for line in sys.stdin))' |
    xargs "$rigup" process wait >/dev/null
python3 - "$RIGUP_DATA_DIR" <<'CHECK'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1] + "/rigup.sqlite3")
states = store.execute("SELECT status, exit_reason, exit_code, count(*) FROM process GROUP BY 1, 2, 3").fetchall()
assert states == [("exited", "exited", 0, 1000)], states
assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
CHECK
row "1,000 detached runs, none lost" "sh: setsid true &" $((started - begin)) $((end - started)) ms
