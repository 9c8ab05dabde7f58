# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Lists the newest 50 of 100,000 processes. Compared with a rigup command that reads nothing.

"$rigup" start --slug one -- true >/dev/null
python3 - "$RIGUP_DATA_DIR" <<'FILL'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1] + "/rigup.sqlite3")
columns = [row[1] for row in store.execute("PRAGMA table_info(process)")]
row = dict(zip(columns, store.execute("SELECT * FROM process LIMIT 1").fetchone()))
rows = []
for n in range(100_000):
    row["id"] = f"{n:08x}-0000-7000-8000-000000000000"
    row["status"], row["exit_code"], row["exit_reason"] = "exited", 0, "exited"
    row["ended_at"] = row["started_at"] = row["created_at"]
    rows.append(list(row.values()))
store.executemany(f"INSERT INTO process ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", rows)
store.commit()
FILL
measure list "$rigup process list -n 50" "$rigup --version"
compare "process list -n 50 of 100,000 records" "rigup --version" list 1
