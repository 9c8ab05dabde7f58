#!/bin/sh
# pnpm: installs Node packages from the npm registry with pnpm, which keeps downloads in a store of its own.
# binaries.jsonl requires pnpm 10, which runs on Node.js 18 and later; pnpm 11 needs Node.js 22.
# Each requirement has a prefix of its own, LIB_DIR/pnpm/<name>, unless overrides.pnpm.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider pnpm -- "$@")}"
needs node
needs pnpm
# The files of a repository can choose the programs that pnpm runs.
check_locations

# Copy a folder; a link to it would not be part of the prefix.
packages=$(printf '%s\n' "$packages" | sed 's,^/,file:/,')

# Options take precedence over the user's files and variables, of which only registries, proxies, certificates and the
# like apply. No file of a project applies: pnpm reads those of the new prefix, and starts in a folder without parents.
# Commands must be links: pnpm's launcher scripts do not find their packages when they are called through another link.
log=$PWD/pnpm.log config=${XDG_CONFIG_HOME:-$HOME/.config}/pnpm
begin_node --config. "$config/rc" "$config/config.yaml"
# shellcheck disable=SC2086 # one option a line
isolated=$(printf '%s\n' --dir "$part" --ignore-workspace --config.global=false --config.modules-dir=node_modules \
    --config.virtual-store-dir=node_modules/.pnpm --config.enable-global-virtual-store=false --config.symlink=true \
    --config.lockfile-only=false --config.enable-modules-dir=true --config.block-exotic-subdeps=${run_scripts:+false} \
    --config.only=prod --config.dev=false --config.optional=true --config.update-notifier=false \
    --config.prefer-symlinked-executables=true --config.package-import-method=clone-or-copy \
    --reporter=append-only $retry)

# pnpm 10.16 and later take an age in minutes. Without minimum-release-age-strict, pnpm installs a release that is too
# new rather than none.
minutes=$(echo "${min_release_age:-0}" | awk '{ minutes = $1 * 1440; print int(minutes) + (minutes > int(minutes)) }')
if [ "$minutes" != 0 ] && pnpm --version | awk -F. '{ exit $1 > 10 || $1 == 10 && $2 >= 16 }'; then
    [ -z "$must_keep_age" ] || fail "pnpm $(pnpm --version) cannot enforce min_release_age; install 10.16 or later"
    warn_of_age "pnpm $(pnpm --version) cannot enforce min_release_age and installs the newest releases; install 10.16 or later"
fi
scripts=--ignore-scripts
[ -z "$run_scripts" ] || scripts=--config.dangerously-allow-all-builds=true
age=$(printf -- '--config.minimum-release-age%s\n' "=$minutes" -exclude= -strict=true -ignore-missing-time=false)
# shellcheck disable=SC2086 # one package a line
try() { pnpm add $isolated $packages $scripts $age >"$log" 2>&1; }
no_dates() { tr -s ' \n' ' ' <"$log" | grep -q 'is missing the "time" field'; }
# With a registry without release dates, pnpm fails if any option about ages is set, even with age 0.
try || { [ -z "$must_keep_age" ] && no_dates && age= && try && { [ "$minutes" = 0 ] ||
    warn_of_age "the registry has no release dates, so the newest releases are installed"; }; } || {
    cat "$log" >&2
    # pnpm wraps its message: join the lines.
    error=$(tr -s ' \n' ' ' <"$log" | sed 's/│ //g; s/.* ERROR //; s/.*ERR_PNPM_/ERR_PNPM_/; s/ This error happened.*//; s/ help: .*//')
    reason=$(printf %s "$error" | sed "s/ × .* ╰─▶//
        s/ while fetching it from .*/${released_before:+ that was released before $released_before}/")
    network=$(printf %s "$error" | sed -n 's/.*\(request to .* failed, reason: .*[^ ]\).*/\1/p
        s/.*etch metadata from \([^ ]*: error sending request.*[^ ]\) ├.*/\1/p' | head -n 1)
    [ -z "$network" ] || reason="cannot reach the registry: $network; check the network, and the registry and the proxy in pnpm's configuration"
    ! no_dates || reason="cannot enforce min_release_age: the registry has no release dates"
    fail "$reason"
}

put_in_place "$part" "node_modules/.bin/$name" "$@"
