#!/bin/sh
# pnpm: installs Node packages from the npm registry with pnpm, which keeps what it fetched in a store of its own.
# What it needs itself is pnpm 10 in binaries.jsonl, which runs on Node 18 and later; 11 wants Node 22.
# Where: a prefix for each requirement, LIB_DIR/pnpm/<name>, or the one that overrides.pnpm.install_root names.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider pnpm -- "$@")"
program=node_modules/.bin/$name
command -v node >/dev/null || decline "node is not on PATH: apt-get install nodejs"
command -v pnpm >/dev/null || decline "pnpm is not on PATH: npm install --global pnpm, or https://pnpm.io/installation"

# pnpm counts in minutes, from 10.16 on. Not strict, it takes what is too new rather than nothing.
minutes=$(echo "${min_release_age:-0}" | awk '{ minutes = $1 * 1440; print int(minutes) + (minutes > int(minutes)) }')
if [ "$minutes" != 0 ] && pnpm --version | awk -F. '{ exit $1 > 10 || $1 == 10 && $2 >= 16 }'; then
    [ -z "$must_keep_age" ] || { echo "pnpm $(pnpm --version) cannot keep min_release_age: 10.16 can" >&2; exit 1; }
    warn "pnpm $(pnpm --version) knows no min_release_age, and takes the newest releases: 10.16 does"
fi
scripts=--ignore-scripts
[ -z "$run_scripts" ] || scripts=--config.dangerously-allow-all-builds=true

# Built beside the prefix, then put in its place: a failure or a kill harms nothing that works. Commands are links, since
# pnpm's scripts in their place do not find their packages when called by another link.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part" && echo '{"private": true}' >"$part/package.json"
[ "$prefix" = "$LIB_DIR/pnpm/$name" ] || [ ! -e "$prefix/package.json" ] || cp "$prefix/package.json" "$part/"
age="--config.minimum-release-age=$minutes
--config.minimum-release-age-strict=true
--config.minimum-release-age-ignore-missing-time=false"
# shellcheck disable=SC2086 # one package a line
try() {
    pnpm add --dir "$part" --ignore-workspace $packages $scripts $age --config.prefer-symlinked-executables=true \
        --config.package-import-method=clone-or-copy --config.update-notifier=false --reporter=append-only >pnpm.log 2>&1
}
no_dates() { tr -s ' \n' ' ' <pnpm.log | grep -q 'is missing the "time" field'; }
# Where there are no dates, pnpm fails even if any age will do, unless it is told nothing of ages.
try || { [ -z "$must_keep_age" ] && no_dates && age= && try && { [ "$minutes" = 0 ] ||
    warn "the registry does not say when packages were released: the newest ones are taken"; }; } || {
    cat pnpm.log >&2 && rm -rf "$part"
    # One sentence of what pnpm breaks into lines.
    reason=$(tr -s ' \n' ' ' <pnpm.log | sed "s/.*ERR_PNPM_/ERR_PNPM_/; s/ × .* ╰─▶//
        s/ while fetching it from .*/${released_before:+ that was released before $released_before}/
        s/ This error happened.*//; s/ help: .*//")
    ! no_dates || reason="the registry does not say when packages were released: min_release_age cannot be kept"
    echo "$reason" >&2
    exit 1
}
[ -x "$part/$program" ] || { rm -rf "$part"; echo "no program $name among what pnpm installed" >&2; exit 1; }
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider pnpm --abspath "$prefix/$program" -- "$@"
