#!/bin/sh
# pnpm: installs Node packages from the npm registry with pnpm, which keeps downloads in a store of its own.
# binaries.jsonl requires pnpm 10, which runs on Node.js 18 and later; pnpm 11 needs Node.js 22.
# Each requirement has a prefix of its own, LIB_DIR/pnpm/<name>, unless overrides.pnpm.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }
reject() { "$RIGUP" hook failure --name "$name" --rejected "$1" && exit 0; }

eval "$("$RIGUP" hook begin --provider pnpm -- "$@")"
command -v node >/dev/null || decline "node is not on PATH; install it with apt-get install nodejs"
command -v pnpm >/dev/null || decline "pnpm is not on PATH; install it with npm install --global pnpm, or see https://pnpm.io/installation"
# The files of a repository can choose the programs that pnpm runs.
[ -z "$locations" ] || [ "$run_scripts" ] ||
    reject "$locations is not from the registry, so it can run scripts; allow them with --postinstall-scripts"
[ -z "$locations" ] || [ -z "$must_keep_age" ] || reject "cannot enforce min_release_age for $locations: it has no release date"

# Copy a folder; a link to it would not be part of the prefix.
packages=$(printf '%s\n' "$packages" | sed 's,^/,file:/,')

# Options take precedence over the user's files and variables, of which only registries, proxies, certificates and the
# like apply. No file of a project applies: pnpm reads those of the new prefix, and starts in a folder without parents.
part=$prefix.part log=$PWD/pnpm.log
isolated="--dir
$part
--ignore-workspace
--config.global=false
--config.modules-dir=node_modules
--config.virtual-store-dir=node_modules/.pnpm
--config.enable-global-virtual-store=false
--config.symlink=true
--config.block-exotic-subdeps=${run_scripts:+false}"
cd /
unset NODE_PATH
NODE_OPTIONS=$(printf %s "${NODE_OPTIONS:-}" | tr ' ' '\n' | grep -E '^--(dns|max|openssl|tls|use)-' | tr '\n' ' ') || :
export NODE_OPTIONS
if [ "$cache" ]; then
    export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$cache}" XDG_DATA_HOME="${XDG_DATA_HOME:-$cache}" XDG_STATE_HOME="${XDG_STATE_HOME:-$cache}"
fi

# pnpm 10.16 and later take an age in minutes. Without minimum-release-age-strict, pnpm installs a release that is too
# new rather than none.
minutes=$(echo "${min_release_age:-0}" | awk '{ minutes = $1 * 1440; print int(minutes) + (minutes > int(minutes)) }')
if [ "$minutes" != 0 ] && pnpm --version | awk -F. '{ exit $1 > 10 || $1 == 10 && $2 >= 16 }'; then
    [ -z "$must_keep_age" ] || { echo "pnpm $(pnpm --version) cannot enforce min_release_age; install 10.16 or later" >&2; exit 1; }
    warn "pnpm $(pnpm --version) cannot enforce min_release_age and installs the newest releases; install 10.16 or later"
fi
scripts=--ignore-scripts
[ -z "$run_scripts" ] || scripts=--config.dangerously-allow-all-builds=true

# Build beside the prefix: a failure or a kill leaves the working version. Commands must be links: pnpm's launcher
# scripts do not find their packages when they are called through another link.
trap 'trap "" HUP INT TERM; rm -rf "$part"' EXIT
trap 'exit 143' HUP INT TERM
rm -rf "$part" && mkdir -p "$part" && echo '{"private": true}' >"$part/package.json"
[ "$prefix" = "$LIB_DIR/pnpm/$name" ] || [ ! -e "$prefix/package.json" ] || cp "$prefix/package.json" "$part/"
age="--config.minimum-release-age=$minutes
--config.minimum-release-age-strict=true
--config.minimum-release-age-ignore-missing-time=false"
# shellcheck disable=SC2086 # one package a line
try() {
    pnpm add $isolated $packages $scripts $age --config.prefer-symlinked-executables=true \
        --config.package-import-method=clone-or-copy --config.update-notifier=false --reporter=append-only >"$log" 2>&1
}
no_dates() { tr -s ' \n' ' ' <"$log" | grep -q 'is missing the "time" field'; }
# With a registry without release dates, pnpm fails if any option about ages is set, even with age 0.
try || { [ -z "$must_keep_age" ] && no_dates && age= && try && { [ "$minutes" = 0 ] ||
    warn "the registry has no release dates, so the newest releases are installed"; }; } || {
    cat "$log" >&2
    # pnpm wraps its message: join the lines.
    reason=$(tr -s ' \n' ' ' <"$log" | sed "s/.*ERR_PNPM_/ERR_PNPM_/; s/ × .* ╰─▶//
        s/ while fetching it from .*/${released_before:+ that was released before $released_before}/
        s/ This error happened.*//; s/ help: .*//")
    network=$(printf %s "$reason" | sed -n 's/.*\(request to .* failed, reason: .*[^ ]\).*/\1/p')
    [ -z "$network" ] || reason="cannot reach the registry: $network; check the network, and the registry and the proxy in pnpm's configuration"
    ! no_dates || reason="cannot enforce min_release_age: the registry has no release dates"
    echo "$reason" >&2
    exit 1
}

"$RIGUP" hook binary --provider pnpm --built "$part" --abspath "$prefix/node_modules/.bin/$name" -- "$@"
