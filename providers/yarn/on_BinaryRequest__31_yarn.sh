#!/bin/sh
# yarn: installs Node packages from the npm registry with yarn. Older versions than 4.14 are declined, because they do not
# enforce min_release_age, or run scripts of dependencies that are repositories.
# Each requirement has a prefix of its own, LIB_DIR/yarn/<name>, unless overrides.yarn.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider yarn -- "$@")}"
needs node
needs yarn
check_locations
log=$PWD/yarn.log
begin_node --
# The launcher of corepack must not choose the version of a project, nor ask before it downloads one. yarn reads the files
# of this name in all folders above the prefix, and that of the user in any case.
export COREPACK_ENABLE_PROJECT_SPEC=0 COREPACK_ENABLE_DOWNLOAD_PROMPT=0 YARN_IGNORE_PATH=1 YARN_RC_FILENAME=.rigup-yarnrc.yml
yarn --version >"$log" 2>&1 || fail "yarn --version failed: $(grep . "$log" | head -n 1)"
version=$(tail -n 1 "$log")
echo "$version" | awk -F. '{ exit $1 > 4 || $1 == 4 && $2 >= 14 }' &&
    decline "yarn $version is too old; install 4.14 or later with \`npm install --global @yarnpkg/cli-dist\`"

# Variables and the file in the prefix take precedence over the user's files, of which only registries, proxies,
# certificates and the like apply.
export YARN_NODE_LINKER=node-modules YARN_NM_MODE=classic YARN_NM_HOISTING_LIMITS=none
export YARN_ENABLE_GLOBAL_CACHE=1 YARN_ENABLE_IMMUTABLE_INSTALLS=0 YARN_ENABLE_HARDENED_MODE=0 YARN_ENABLE_TELEMETRY=0
export YARN_ENABLE_COLORS=0 YARN_ENABLE_HYPERLINKS=0 YARN_ENABLE_PROGRESS_BARS=0
export YARN_ENABLE_SCRIPTS="${run_scripts:+1}" PUPPETEER_SKIP_DOWNLOAD="${PUPPETEER_SKIP_DOWNLOAD:-true}"
[ "$run_scripts" ] || export YARN_ENABLE_SCRIPTS=0
cat >"$part/$YARN_RC_FILENAME" <<'SETTINGS'
npmPreapprovedPackages: {onConflict: reset, value: []}
supportedArchitectures: {onConflict: reset, value: {os: [current], cpu: [current], libc: [current]}}
SETTINGS
# A prefix without a lock file would be a part of a project above it.
: >"$part/yarn.lock"
packages=$(printf '%s\n' "$packages" | sed "s,^/,$name@file:/,")

YARN_NPM_MINIMAL_AGE_GATE=$(echo "${min_release_age:-0}" | awk '{ minutes = $1 * 1440; print int(minutes) + (minutes > int(minutes)) }')
export YARN_NPM_MINIMAL_AGE_GATE
# shellcheck disable=SC2086 # one package a line
try() { yarn --cwd "$part" add $packages >"$log" 2>&1; }
# yarn treats a release without a date as too new.
lacks_dates() {
    blocked=$(sed -n 's/.*YN0027: \(@\{0,1\}[^@]*\)@.*/\1/p' "$log" | head -n 1)
    grep -q quarantined "$log" && [ "$blocked" ] &&
        ! yarn --cwd "$part" npm info "$blocked" --fields time --json 2>/dev/null | grep -q '"time":'
}
try || { lacks_dates && if [ "$must_keep_age" ]; then
    fail "cannot enforce min_release_age: the registry has no release date of $blocked"
else
    YARN_NPM_MINIMAL_AGE_GATE=0 && try && warn_of_age "the registry has no release dates, so the newest releases are installed"
fi; } || {
    cat "$log" >&2
    network=$(sed -n 's/.*YN0001: .*RequestError: \(.*\)/\1/p' "$log" | head -n 1)
    [ -z "$network" ] ||
        fail "cannot reach the registry: $network; check the network, and the registry and the proxy in yarn's configuration"
    cause=$(sed -n 's/.*YN00[1-9][0-9]: //p' "$log" | tr '\n' ' ')
    case $cause in
    *quarantined*) fail "${cause%%@unknown *} has no release that was released before $released_before" ;;
    ?*) fail "$cause" ;;
    esac
    exit 1
}
other=$(sed -n 's/^  resolution: "\(.*\)"$/\1/p' "$part/yarn.lock" | grep -vE '[^@]@(npm|patch|workspace):' | head -n 1) || :
[ -z "$other" ] || [ "$run_scripts" ] ||
    fail "$other is not from a registry, so it can run scripts; allow them with --postinstall-scripts"
rm -rf "$part/.yarn" "${part:?}/$YARN_RC_FILENAME"

put_in_place "$part" "node_modules/.bin/$name" "$@"
