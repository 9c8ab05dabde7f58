#!/bin/sh
# npm: installs Node packages from the npm registry.
# Where: a prefix for each requirement, LIB_DIR/npm/<name>, or the one that overrides.npm.install_root names.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
warn() { echo "{\"type\":\"Warning\",\"message\":\"$1\"}"; }

eval "$("$RIGUP" hook begin --provider npm -- "$@")"
program=node_modules/.bin/$name

command -v node >/dev/null || decline "node is not on PATH: apt-get install nodejs npm"
command -v npm >/dev/null || decline "npm is not on PATH: apt-get install npm"
# What was asked for weighs more than the options of a requirement; those weigh more than a default.
own_age=$(printf '%s\n' "$packages" | grep -E '^--min-release-age=') || :
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -vE '^--min-release-age='); fi
if [ "$own_age" ] && [ -z "$must_keep_age" ]; then released_before=; fi
# npm takes a registry without dates for one where everything is old enough. Found to have them, it has them for a day; of
# hooks that run at the same time one asks.
dates=$LIB_DIR/npm/registry.part/has-dates asked=$LIB_DIR/npm/registry.part/asked asking=
ask_dates() { npm view "$(printf '%s\n' "$packages" | grep -v '^-' | head -n 1)" time >npm.dates 2>/dev/null || :; }
if [ "$must_keep_age" ]; then
    ask_dates
    [ -s npm.dates ] || {
        echo "the registry does not say when $packages was released: min_release_age cannot be kept" >&2
        exit 1
    }
elif [ "$released_before" ] && [ -z "$(find "$dates" -mtime -1 2>/dev/null)" ]; then
    [ "$(find "$asked" -mmin -1 2>/dev/null)" ] || rm -f "$asked"
    mkdir -p "${dates%/*}"
    if (set -C && : >"$asked") 2>/dev/null; then { ask_dates; rm -f "$asked"; } & asking=$!; fi
fi
scripts=--ignore-scripts
[ -z "$run_scripts" ] || scripts=--ignore-scripts=false

export PUPPETEER_SKIP_DOWNLOAD="${PUPPETEER_SKIP_DOWNLOAD:-true}"
export PUPPETEER_SKIP_CHROMIUM_DOWNLOAD="${PUPPETEER_SKIP_CHROMIUM_DOWNLOAD:-true}"

# Built beside the prefix, then put in its place: a failure or a kill harms nothing that works.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part" && echo '{"private": true}' >"$part/package.json"
[ "$prefix" = "$LIB_DIR/npm/$name" ] || [ ! -e "$prefix/package.json" ] || cp "$prefix/package.json" "$part/"
# overrides.npm.overrides is npm's own field of that name: what stands in for a dependency of a dependency.
overrides=$("$RIGUP" hook override overrides --provider npm -- "$@")
if [ "$overrides" ]; then
    npm pkg set --prefix "$part" --loglevel=error --json "overrides=$overrides" >&2
    # Before npm 10, an override of a dependency from git ends in "Invalid comparator".
    case $(npm --version) in [1-9].*) npm() { npx --yes npm@10 "$@"; } ;; esac
fi
# shellcheck disable=SC2086 # one package a line
npm install --prefix "$part" --no-audit --no-fund --no-progress --no-update-notifier --loglevel=error \
    $packages $scripts ${released_before:+--before=$released_before} >npm.log 2>&1 || {
    [ -z "$asking" ] || wait "$asking"
    cat npm.log >&2 && rm -rf "$part"
    grep -E '^npm (error|ERR!) ' npm.log | grep -vE '^npm [^ ]+ (code|errno|syscall|path|dest) ' |
        head -n 1 | sed "/No versions available/s/\$/ that was released before $released_before/" >&2
    exit 1
}
if [ "$asking" ]; then
    wait "$asking"
    if [ -s npm.dates ]; then : >"$dates"
    else warn "the registry does not say when packages were released: the newest ones are taken"; fi
fi
[ -x "$part/$program" ] || { echo "no program $name among what npm installed" >&2; exit 1; }
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider npm --abspath "$prefix/$program" -- "$@"
