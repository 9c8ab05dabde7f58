# shellcheck shell=bash
# Functions that measure and report. compare.sh sources this file.
# shellcheck disable=SC2154 # compare.sh sets BENCH_STATIC, part, rigup, root, rows and runs

figures() { python3 "$root/benches/figures.py" "$@"; }

heading() { figures heading; }

# measure NAME [--prepare COMMAND] COMMAND...: runs the commands in turn, so that other load affects all of them
# equally.
measure() {
    local name=$1 turns=5 turn
    shift
    [ "$runs" -ge $turns ] || turns=$runs
    for turn in $(seq "$turns"); do
        hyperfine --shell=none --warmup 1 --runs $(((runs + turns - 1) / turns)) --export-json "$name.$turn.json" "$@" \
            >hyperfine.log 2>&1 || { cat hyperfine.log >&2 && return 1; }
    done
}

# times NAME INDEX: prints the median and the fastest time of the measured command with this index, in milliseconds.
times() { figures times "$2" "$1".*.json; }

# row WHAT BASELINE OURS THEIRS UNIT [TARGET...]: adds a row. OURS and THEIRS are a median, or a median and the fastest
# time. A TARGET is `ratio N` (at most N times the baseline) or `below N`.
row() { figures row "$rows" "$part" "$@"; }

# compare WHAT BASELINE NAME INDEX [TARGET...]: adds a row that compares the first measured command with that at INDEX.
compare() { row "$1" "$2" "$(times "$3" 0)" "$(times "$3" "$4")" ms "${@:5}"; }

# compare_static WHAT ARGUMENT...: compares the static build with the other one, if there is a static build.
compare_static() {
    local what=$1
    shift
    [ -n "$BENCH_STATIC" ] || return 0
    measure static "$BENCH_STATIC $*" "$rigup $*"
    row "$what, static build" "the build for glibc" "$(times static 0)" "$(times static 1)" ms "ratio 1.1"
}

# skip WHAT REASON: reports that a benchmark was skipped.
skip() { figures skip "$rows" "$part" "$@"; }

# now: prints the time in milliseconds.
now() { echo $(($(date +%s%N) / 1000000)); }

# peak COMMAND...: prints the peak memory of the command in MB, without its children.
peak() { figures peak "$@"; }

# programs: prints the names of twenty programs that every machine has and that print their version quickly.
programs() { echo bash cat cp cut date df du find grep gzip head ls mkdir mv sed sort tail tar tr wc; }

# plugin NAME PROVIDERS BINARY...: writes a plugin that requires these binaries.
plugin() {
    local name=$1 providers=$2 binary
    shift 2
    mkdir -p "plugins/$name"
    for binary; do
        printf '{"type":"Binary","name":"%s","binproviders":"%s"}\n' "$binary" "$providers"
    done >"plugins/$name/binaries.jsonl"
}
