#!/usr/bin/env bash
# Compares rigup with the programs that it replaces. Each figure is next to one that was measured in the same run.
#   benches/compare.sh [RUNS] [PART...] [--write]
# RUNS is the number of times that each command runs (default: 20). The PARTs are files in benches/parts (default: all).
# --write runs all parts and writes the table to docs/performance.md.
# Needs hyperfine and python3. The other programs are installed from PyPI and npm; a program that cannot be installed is
# skipped with a reason.
#   BENCH_STATIC=file     a static build (packaging/build.sh), which is compared with the build that is benchmarked
#   BENCH_DIR=folder      the folder for all files (default: in memory)
#   BENCH_TOOLS=folder    keeps the other programs for later runs (default: they are removed)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly root=$PWD
readonly all_parts=(hooks start runs supervision list completions memory plan load warm env-cold pip-cold pip-warm npm-cold npm-warm many-cold digest growth million)

runs=20
parts=()
write=
for arg; do
    case $arg in
    --write) write=yes ;;
    *[!0-9]*)
        [ -f "benches/parts/$arg.sh" ] || { echo "unknown part: $arg; the parts are: ${all_parts[*]}" >&2 && exit 2; }
        parts+=("$arg")
        ;;
    *) runs=$arg ;;
    esac
done
[ -z "$write" ] || [ ${#parts[@]} = 0 ] || { echo "--write cannot be combined with parts, because the table must come from one run" >&2 && exit 2; }
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")

cargo build --release --locked --quiet
rigup=$(realpath "${CARGO_TARGET_DIR:-target}")/release/rigup
# In memory if possible: on a disk, the time to create a file depends on what was deleted before.
scratch=$(mktemp -d -p "${BENCH_DIR:-$(if [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi)}")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
BENCH_STATIC=${BENCH_STATIC:+$(realpath "$BENCH_STATIC")}
readonly rigup scratch BENCH_STATIC
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
