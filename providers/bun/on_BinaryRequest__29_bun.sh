#!/bin/sh
# bun: installs Node packages from the npm registry with bun.
# Each requirement has a prefix of its own, LIB_DIR/bun/<name>, unless overrides.bun.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider bun -- "$@")}"
needs bun
bun --version | awk -F. '{ exit $1 > 1 || $1 == 1 && $2 >= 3 }' &&
    decline "bun $(bun --version) is too old; install 1.3 or later with \`bun upgrade\`"
check_locations

# Options take precedence over the user's files and variables, of which only registries, proxies, certificates and the
# like apply.
log=$PWD/bun.log
unset BUN_OPTIONS
begin_node --config. "$HOME/.bunfig.toml" "${XDG_CONFIG_HOME:-$HOME/.config}/.bunfig.toml"
export PUPPETEER_SKIP_DOWNLOAD="${PUPPETEER_SKIP_DOWNLOAD:-true}"
explain() {
    cat "$log" >&2
    cause=$(sed -n 's/^error: //p' "$log" | head -n 1)
    case $cause in
    *' downloading '* | 'ConnectionRefused'* | *'request failed'*)
        cause="cannot reach the registry: $cause; check the network, and the registry and the proxy in bun's configuration" ;;
    *'blocked by minimum-release-age'*) cause="${cause%% (all*} that was released before $released_before" ;;
    esac
    [ -z "$cause" ] || printf '%s\n' "$cause" >&2
}
fetch_dates() { bun info "$package" time || bun info "$package" name >/dev/null; }
start_check_of_dates
seconds=$(echo "${min_release_age:-0}" | awk '{ seconds = $1 * 86400; print int(seconds) + (seconds > int(seconds)) }')
# With scripts, only those of the requested packages run, and those of packages that bun itself trusts.
scripts=--ignore-scripts
[ -z "$run_scripts" ] || scripts=--trust
# shellcheck disable=SC2086 # one package a line
bun add --cwd "$part" --no-env-file --linker=hoisted --backend=copyfile --no-progress --no-summary $scripts \
    "--minimum-release-age=$seconds" --minimum-release-age-excludes= $packages >"$log" 2>&1 || {
    [ -z "$check_pid" ] || wait "$check_pid"
    explain && exit 1
}
end_check_of_dates
# A package of a registry has a version in the lock file; any other has a URL or a path.
other=$(sed -nE 's/^ *"[^"]*": \["([^"]*[^"@]@[^0-9"][^"]*)".*/\1/p' "$part/bun.lock" | head -n 1)
[ -z "$other" ] || [ "$run_scripts" ] ||
    fail "$other is not from a registry, so it can run scripts; allow them with --postinstall-scripts"

# Without Node.js, bun runs the program.
program=$(realpath "$part/node_modules/.bin/$name" 2>/dev/null) || program=
if [ "$program" ] && ! command -v node >/dev/null && head -c 99 "$program" | head -n 1 | grep -aqE '^#!.*[/ ]node( |$)'; then
    sed '1s,.*,#!/usr/bin/env bun,' "$program" >"$part/program"
    cat "$part/program" >"$program" && rm "$part/program"
fi

put_in_place "$part" "node_modules/.bin/$name" "$@"
