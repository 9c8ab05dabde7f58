#!/bin/sh
# npm: installs Node packages from the npm registry.
# Each requirement has a prefix of its own, LIB_DIR/npm/<name>, unless overrides.npm.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider npm -- "$@")"
needs node
needs npm
# The .npmrc of a repository can choose the programs that npm runs.
check_locations

# Options take precedence over the user's files and variables, of which only registries, proxies, certificates and the
# like apply. No file of a project applies: every npm command uses the prefix, or starts in a folder without parents.
log=$PWD/npm.log npm=$(command -v npm)
begin_node -- /etc/npmrc "${npm%/bin/npm}/etc/npmrc"
# shellcheck disable=SC2086 # one option a line
isolated=$(printf '%s\n' --prefix "$part" --global=false --location=project --workspaces=false --dry-run=false --save=true \
    --bin-links=true --install-links=true --package-lock-only=false --os= --cpu= --libc= --min-release-age-exclude= \
    --loglevel=error $retry)
case $packages in *--omit=*) ;; *) isolated="$isolated${IFS}--include=prod${IFS}--include=optional${IFS}--include=peer" ;; esac
# shellcheck disable=SC2086 # one option a line
npm() { command npm $isolated "$@"; }
export PUPPETEER_SKIP_DOWNLOAD="${PUPPETEER_SKIP_DOWNLOAD:-true}"
export PUPPETEER_SKIP_CHROMIUM_DOWNLOAD="${PUPPETEER_SKIP_CHROMIUM_DOWNLOAD:-true}"
# Prints the cause of npm's failure.
explain() {
    cat "$log" >&2
    refused=$(sed -n 's/^npm [^ ]* Refusing to fetch \(.*\)/\1/p' "$log" | head -n 1)
    [ -z "$refused" ] || fail "$refused is not from a registry, so it can run scripts; allow them with --postinstall-scripts"
    cause=$(grep -E '^npm (error|ERR!) ' "$log" | grep -vE '^npm [^ ]+ (code|errno|syscall|path|dest) ' | head -n 1)
    if grep -qE '^npm [^ ]+ code (E(AI_AGAIN|CONN|HOST|NET|NOTFOUND|PIPE|TIMEDOUT)|ERR_SOCKET|FETCH_ERROR|.*CERT|.*SIGNATURE)' "$log"; then
        cause=$(printf %s "$cause" | sed 's/^npm [^ ]* \(network \)\{0,1\}\([A-Za-z]*Error: \)\{0,1\}//')
        cause="cannot reach the registry: $cause; check the network, and the registry and the proxy in npm's configuration"
    fi
    printf '%s\n' "$cause" | sed "s,%2[fF],/,; /No versions available/s/\$/ that was released before $released_before/" >&2
}

# A requested age takes precedence over the options of a requirement, and these take precedence over the default age.
own_age=$(printf '%s\n' "$packages" | grep -E '^--min-release-age=') || :
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -vE '^--min-release-age='); fi
if [ "$own_age" ] && [ -z "$must_keep_age" ]; then released_before=; fi
fetch_dates() { npm view "$package" time; }
start_check_of_dates

# overrides.npm.overrides becomes npm's own field `overrides`, which replaces transitive dependencies.
overrides=$("$RIGUP" hook override overrides --provider npm -- "$@")
if [ "$overrides" ]; then
    npm pkg set --json "overrides=$overrides" >&2
    # npm before 10 fails with "Invalid comparator" if a dependency from git is overridden.
    # shellcheck disable=SC2086 # one option a line
    case $(npm --version) in [1-9].*) npm() { npx --global=false --yes npm@10 $isolated "$@"; } ;; esac
fi
# npm 11.13 and later can require that the dependencies of a package come from the registry too.
scripts="--ignore-scripts=true
--allow-git=root
--allow-remote=root
--allow-file=root
--allow-directory=root"
[ -z "$run_scripts" ] || scripts=--ignore-scripts=false
# shellcheck disable=SC2086 # one package a line
npm install --no-audit --no-fund --no-progress --no-update-notifier $packages $scripts \
    ${released_before:+--before=$released_before} >"$log" 2>&1 || {
    [ -z "$check_pid" ] || wait "$check_pid"
    explain && exit 1
}
end_check_of_dates

"$RIGUP" hook binary --provider npm --built "$part" --abspath "$prefix/node_modules/.bin/$name" \
    ${unenforced:+"--unenforced=$unenforced"} -- "$@"
