# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# 1,000 runs started one after the other, all of them seen to their ends; a shell that starts as many and forgets them.

begin=$(now)
for _ in $(seq 1000); do "$rigup" start --slug many -- true >/dev/null; done
started=$(now)
for _ in $(seq 1000); do sh -c 'setsid true >/dev/null 2>&1 &'; done
forgotten=$(now)
"$rigup" process list --slug many -n 1000 --json | python3 -c 'import json, sys; print(*(json.loads(it)["id"] for it in sys.stdin))' |
    xargs "$rigup" process wait >/dev/null
python3 - "$RIGUP_DATA_DIR" <<'CHECK'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1] + "/rigup.sqlite3")
states = store.execute("SELECT status, exit_reason, exit_code, count(*) FROM process GROUP BY 1, 2, 3").fetchall()
assert states == [("exited", "exited", 0, 1000)], states
assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
CHECK
row "1,000 detached runs, none lost" "sh: setsid true &" $((started - begin)) $((forgotten - started)) ms
