# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Commands with a store that also contains 1,000,000 copies of the processes of an install of twenty programs. Compared
# with the same commands without the copies.

read -ra names <<<"$(programs)"
plugin twenty env "${names[@]}"
"$rigup" install --quiet >/dev/null
mkdir full && cp -a data full/data
python3 - full/data/rigup.sqlite3 <<'FILL'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
columns = [row[1] for row in store.execute("PRAGMA table_info(process)")]
roots = store.execute("SELECT * FROM process WHERE parent_id IS NULL").fetchall()
hooks = store.execute("SELECT * FROM process WHERE parent_id IS NOT NULL").fetchall()
at = {name: columns.index(name) for name in ("id", "parent_id")}


def copies():
    count = run = 0
    while count < 1_000_000:
        run += 1
        for number, original in enumerate([roots[0], *hooks]):
            copy = list(original)
            copy[at["id"]] = f"{run:08x}-0000-7000-8000-{number:012x}"
            if number > 0:
                copy[at["parent_id"]] = f"{run:08x}-0000-7000-8000-{0:012x}"
            yield copy
            count += 1


store.execute("PRAGMA foreign_keys = OFF")
store.executemany(f"INSERT INTO process VALUES ({','.join('?' * len(columns))})", copies())
store.commit()
FILL
root_id=$("$rigup" process list --json -n 1000 | python3 -c '
import json, sys
print(next(process["id"] for process in map(json.loads, sys.stdin) if process["parent_id"] is None))')
compare_stores() { # WHAT COMMAND
    local name=${1// /-}
    measure "$name" "$rigup --data-dir full/data $2" "$rigup --data-dir data $2"
    compare "$1, 1,000,000 records" "21 records" "$name" 1 "ratio 1.5"
}
compare_stores "process list -n 50" "process list -n 50"
compare_stores "process tree of an install" "process tree $root_id"
compare_stores "warm install of 20" "install"
