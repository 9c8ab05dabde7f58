#!/usr/bin/env bash
# Compares rigup with the programs that it replaces: each figure is next to one measured in the same run.
#   benches/compare.sh [RUNS] [PART...] [--write]
# RUNS is how often each command runs (default: 20); the PARTs are files in benches/parts (default: all).
# --write runs all parts and puts the table into docs/performance.md.
# Needs hyperfine and python3. Other programs come from PyPI and npm; those that cannot be installed are skipped with a reason.
#   BENCH_DIR=folder      where to measure (default: memory)
#   BENCH_TOOLS=folder    where the other programs are kept for the next time (default: nowhere)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly root=$PWD
readonly all_parts=(hooks start runs list memory plan load warm env-cold pip-cold npm-cold many-cold digest growth million)

runs=20
parts=()
write=
for arg; do
    case $arg in
    --write) write=yes ;;
    *[!0-9]*)
        [ -f "benches/parts/$arg.sh" ] || { echo "$arg is no part; there are: ${all_parts[*]}" >&2 && exit 2; }
        parts+=("$arg")
        ;;
    *) runs=$arg ;;
    esac
done
[ -z "$write" ] || [ ${#parts[@]} = 0 ] || { echo "--write takes all parts: a table is of one run" >&2 && exit 2; }
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")

cargo build --release --locked --quiet
rigup=$(realpath "${CARGO_TARGET_DIR:-target}")/release/rigup
# In memory if possible: how long a file takes to create on a disk depends on what was deleted before.
scratch=$(mktemp -d -p "${BENCH_DIR:-$(if [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi)}")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
readonly rigup scratch
readonly tools=${BENCH_TOOLS:-$scratch/tools}
readonly rows=$scratch/rows.jsonl
: >"$rows"
unset "${!RIGUP_@}" DATA_DIR LIB_DIR LIB_BIN_DIR TIMEOUT

# shellcheck source=benches/measure.sh
. "$root/benches/measure.sh"
# shellcheck source=benches/tools.sh
. "$root/benches/tools.sh"

heading
for part in "${parts[@]}"; do
    mkdir "$scratch/$part"
    (
        cd "$scratch/$part"
        export RIGUP_DATA_DIR=$PWD/data
        # shellcheck source=/dev/null # one of benches/parts
        . "$root/benches/parts/$part.sh"
    )
    rm -rf "${scratch:?}/$part"
done
[ -z "$write" ] || figures write "$rows" "$root/docs/performance.md" "$rigup" "$runs"
