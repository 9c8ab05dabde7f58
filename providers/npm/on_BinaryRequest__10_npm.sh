#!/bin/sh
# npm: installs Node packages from the npm registry.
# Each requirement has a prefix of its own, LIB_DIR/npm/<name>, unless overrides.npm.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider npm -- "$@")"
program=node_modules/.bin/$name

command -v node >/dev/null || decline "node is not on PATH; install it with apt-get install nodejs npm"
command -v npm >/dev/null || decline "npm is not on PATH; install it with apt-get install npm"
# A requested age takes precedence over the options of a requirement, and these take precedence over the default age.
own_age=$(printf '%s\n' "$packages" | grep -E '^--min-release-age=') || :
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -vE '^--min-release-age='); fi
if [ "$own_age" ] && [ -z "$must_keep_age" ]; then released_before=; fi
# If a registry has no release dates, npm treats every release as old enough, so check whether it has dates. A registry
# that has dates is not checked again for a day, and only one of several concurrent hooks checks it.
dates=$LIB_DIR/npm/registry.part/has-dates check_lock=$LIB_DIR/npm/registry.part/asked check_pid=
fetch_dates() { npm view "$(printf '%s\n' "$packages" | grep -v '^-' | head -n 1)" time >npm.dates 2>/dev/null || :; }
if [ "$must_keep_age" ]; then
    fetch_dates
    [ -s npm.dates ] || {
        echo "cannot enforce min_release_age: the registry has no release date of $packages" >&2
        exit 1
    }
elif [ "$released_before" ] && [ -z "$(find "$dates" -mtime -1 2>/dev/null)" ]; then
    [ "$(find "$check_lock" -mmin -1 2>/dev/null)" ] || rm -f "$check_lock"
    mkdir -p "${dates%/*}"
    if (set -C && : >"$check_lock") 2>/dev/null; then { fetch_dates; rm -f "$check_lock"; } & check_pid=$!; fi
fi
scripts=--ignore-scripts
[ -z "$run_scripts" ] || scripts=--ignore-scripts=false

export PUPPETEER_SKIP_DOWNLOAD="${PUPPETEER_SKIP_DOWNLOAD:-true}"
export PUPPETEER_SKIP_CHROMIUM_DOWNLOAD="${PUPPETEER_SKIP_CHROMIUM_DOWNLOAD:-true}"

# Build beside the prefix, then replace it: a failure or a kill leaves the working version.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part" && echo '{"private": true}' >"$part/package.json"
[ "$prefix" = "$LIB_DIR/npm/$name" ] || [ ! -e "$prefix/package.json" ] || cp "$prefix/package.json" "$part/"
# overrides.npm.overrides becomes npm's own field `overrides`, which replaces transitive dependencies.
overrides=$("$RIGUP" hook override overrides --provider npm -- "$@")
if [ "$overrides" ]; then
    npm pkg set --prefix "$part" --loglevel=error --json "overrides=$overrides" >&2
    # npm before 10 fails with "Invalid comparator" if a dependency from git is overridden.
    case $(npm --version) in [1-9].*) npm() { npx --yes npm@10 "$@"; } ;; esac
fi
# shellcheck disable=SC2086 # one package a line
npm install --prefix "$part" --no-audit --no-fund --no-progress --no-update-notifier --loglevel=error \
    $packages $scripts ${released_before:+--before=$released_before} >npm.log 2>&1 || {
    [ -z "$check_pid" ] || wait "$check_pid"
    cat npm.log >&2 && rm -rf "$part"
    grep -E '^npm (error|ERR!) ' npm.log | grep -vE '^npm [^ ]+ (code|errno|syscall|path|dest) ' |
        head -n 1 | sed "/No versions available/s/\$/ that was released before $released_before/" >&2
    exit 1
}
if [ "$check_pid" ]; then
    wait "$check_pid"
    if [ -s npm.dates ]; then : >"$dates"
    else warn "the registry has no release dates, so the newest releases are installed"; fi
fi
[ -x "$part/$program" ] || { "$RIGUP" hook binary --provider npm --abspath "$part/$program" -- "$@" || rm -rf "$part"; exit 1; }
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider npm --abspath "$prefix/$program" -- "$@"
