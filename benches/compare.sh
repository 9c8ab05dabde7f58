#!/usr/bin/env bash
# What rigup costs beside what it stands in for: every figure next to a yardstick that was measured in the same run.
#   benches/compare.sh [RUNS] [PART...] [--write]
# RUNS is how often each command is run, 20 unless said; the PARTs are the files in benches/parts, all of them unless
# said. --write puts the table into docs/performance.md, and takes all parts.
# Needs hyperfine and python3. Other yardsticks come from PyPI and npm; what cannot be had is left out, with a word why.
#   BENCH_DIR=folder      where to measure: memory unless said
#   BENCH_TOOLS=folder    where the yardsticks are kept for the next time; else they are thrown away
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
# Off the disk where that can be: how long a file takes to make there depends on what was deleted a minute ago.
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
