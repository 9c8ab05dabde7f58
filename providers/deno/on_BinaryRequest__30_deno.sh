#!/bin/sh
# deno: installs a program from npm (npm:cowsay, or cowsay), JSR (jsr:@std/http/file-server) or a URL.
# Each requirement has a root of its own, LIB_DIR/deno/<name>, unless overrides.deno.install_root names another. It also
# has the cache that deno reads whenever it runs the program.
# shellcheck disable=SC2034,SC2154 # hook begin sets name, prefix, packages and the like, and uses settings
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider deno -- "$@")}"
one_package
needs deno
deno --version | awk '{ split($2, part, "."); exit part[1] > 2 || part[1] == 2 && part[2] >= 6 }' &&
    decline "$(deno --version | head -n 1) is too old; install 2.6 or later with \`deno upgrade\`"
options=$(printf '%s\n' "$packages" | grep '^-') || :
case $package in
npm:* | jsr:* | file:* | http:* | https:* | [./~]*) ;;
*) package=npm:$package ;;
esac
# Modules at a URL have no date, and run no scripts. hook begin takes scopes and programs of packages for locations.
locations=$(printf '%s\n' "$locations" | grep -vE '^(npm:|jsr:|@)') || :
check_locations '^https?:'
# The version follows the name: npm:typescript@5.0.2/tsc
start='((npm|jsr):(@[^/@]+/)?[^/@]+)'
pinned() { printf %s "$package" | sed -E "s,^$start(/.*)?\$,\\1@$1\\4,; s,^$start(/.+)(@[^/@]+)\$,\\1\\5\\4,"; }
[ -z "$exact_version" ] || package=$(pinned "$exact_version")
packages=$package
registry_package=$(printf %s "$package" | sed -E "s,^$start(@[^/]*)?.*,\\1,")

log=$PWD/deno.log settings=$({ env && cat "$HOME/.npmrc"; } 2>/dev/null) || :
make_part
cd /
export DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
explain() {
    cat "$log" >&2
    cause=$(sed -n 's/^error: //p' "$log" | head -n 1)
    detail=$(sed -n 's/^    0: \(.*[^ ]\)$/\1/p' "$log" | head -n 1)
    case $cause$detail in
    *'error sending request'* | *' failed.') cause="cannot reach the registry: ${detail:-$cause}; check the network, and the registry and the proxy in deno's configuration" ;;
    *) ! grep -q 'minimum dependency' "$log" || cause="${cause%.} that was released before $released_before" ;;
    esac
    [ -z "$cause" ] || printf '%s\n' "$cause" >&2
}
# A registry has dates if deno finds no release that is older than npm.
fetch_dates() {
    DENO_DIR=$part/dates deno cache --quiet --no-config --no-lock --minimum-dependency-age=2000-01-01 "$package" 2>"$log.dates" && return
    grep 'minimum dependency' "$log.dates" || { cat "$log.dates" >&2 && false; }
}
check_pid=
case $package in npm:*) start_check_of_dates ;; esac
scripts=
[ -z "$run_scripts" ] || scripts=--allow-scripts
# shellcheck disable=SC2086 # one option a line
DENO_DIR=$part/cache deno install --global --force --root "$part" --name "$name" --no-config $options $scripts \
    "--minimum-dependency-age=${released_before:-0}" "$package" >"$log" 2>&1 || {
    [ -z "$check_pid" ] || wait "$check_pid"
    explain && exit 1
}
end_check_of_dates
rm -rf "$part/dates"

installed=$(awk -F '"' -v package="$registry_package@" 'index($2, package) == 1 { sub(/_.*/, "", $4); print $4; exit }' \
    "$part/bin/.$name/deno.lock") || :
# The program finds its cache beside it, wherever the root is moved. It names its version, so that it is the same file if the
# version was requested.
launcher=$part/bin/$name
quoted=$(printf %s "$part/cache" | sed "s/'/'\\\\''/g")
{ head -n 1 "$launcher" && printf "export DENO_NO_UPDATE_CHECK=1 DENO_DIR='%s'\n" "$quoted" && sed 1d "$launcher"; } |
    if [ "$installed" ]; then sed "s,'$package','$(pinned "$installed")',"; else cat; fi >"$part/launcher"
cat "$part/launcher" >"$launcher" && rm "$part/launcher"
"$RIGUP" hook relocate "$part"
package_version=$installed
put_in_place "$part" "bin/$name" "$@"
