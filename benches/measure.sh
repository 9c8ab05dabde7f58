# shellcheck shell=bash
# Functions that measure and report; compare.sh sources this file.
# shellcheck disable=SC2154 # part, root, rows, runs: compare.sh has them

figures() { python3 "$root/benches/figures.py" "$@"; }

heading() { figures heading; }

# measure NAME [--prepare COMMAND] COMMAND...: runs the commands in turns, so that other load affects all of them alike.
measure() {
    local name=$1 turns=5 turn
    shift
    [ "$runs" -ge $turns ] || turns=$runs
    for turn in $(seq "$turns"); do
        hyperfine --shell=none --warmup 1 --runs $(((runs + turns - 1) / turns)) --export-json "$name.$turn.json" "$@" \
            >hyperfine.log 2>&1 || { cat hyperfine.log >&2 && return 1; }
    done
}

# times NAME INDEX: median and fastest of the command that was given as number INDEX, from 0, in milliseconds.
times() { figures times "$2" "$1".*.json; }

# row WHAT BASELINE OURS THEIRS UNIT [TARGET...]: a figure may be followed by the fastest; a TARGET is `ratio N`, at most N times the baseline, or `below N`.
row() { figures row "$rows" "$part" "$@"; }

# tell WHAT BASELINE NAME INDEX [TARGET...]: the first command that was measured, beside the one with this number.
tell() { row "$1" "$2" "$(times "$3" 0)" "$(times "$3" "$4")" ms "${@:5}"; }

# skip WHAT WHY
skip() { figures skip "$rows" "$part" "$@"; }

# now: in milliseconds, for what is measured once.
now() { echo $(($(date +%s%N) / 1000000)); }

# peak COMMAND...: the most memory that the command itself takes, in MB; that of its children does not count.
peak() { figures peak "$@"; }

# programs: twenty that are everywhere, and tell their version at once.
programs() { echo bash cat cp cut date df du find grep gzip head ls mkdir mv sed sort tail tar tr wc; }

# plugin NAME PROVIDERS BINARY...: a plugin that requires these.
plugin() {
    local name=$1 providers=$2 binary
    shift 2
    mkdir -p "plugins/$name"
    for binary; do
        printf '{"type":"Binary","name":"%s","binproviders":"%s"}\n' "$binary" "$providers"
    done >"plugins/$name/binaries.jsonl"
}
