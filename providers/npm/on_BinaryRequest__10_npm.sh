#!/bin/sh
# npm: installs Node packages from the npm registry, with bun if it is on PATH and can do what the request and the user's
# settings state, otherwise with npm.
# Each requirement has a prefix of its own, LIB_DIR/npm/<name>, unless overrides.npm.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider npm -- "$@")}"
needs node
# The .npmrc of a repository can choose the programs that npm runs.
check_locations

# Options take precedence over the user's files and variables, of which only registries, proxies, certificates and the
# like apply. No file of a project applies: npm uses the prefix, or starts in a folder without parents.
log=$PWD/npm.log npm=$(command -v npm) || npm=
begin_node -- /etc/npmrc "${npm%/bin/npm}/etc/npmrc"
export PUPPETEER_SKIP_DOWNLOAD="${PUPPETEER_SKIP_DOWNLOAD:-true}"
export PUPPETEER_SKIP_CHROMIUM_DOWNLOAD="${PUPPETEER_SKIP_CHROMIUM_DOWNLOAD:-true}"
# A requested age takes precedence over the options of a requirement, and these take precedence over the default age.
own_age=''
case $packages in *--min-release-age=*)
    if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -vE '^--min-release-age=')
    else own_age=yes released_before=; fi ;;
esac
overrides=''
case $* in *'"overrides"'*) overrides=$("$RIGUP" hook override overrides --provider npm -- "$@") ;; esac

# Fails if bun does not take a setting of the user as npm does: of the files, it reads only ~/.npmrc. Prints the settings
# that bun takes as options.
bun_knows_settings() {
    user=${NPM_CONFIG_USERCONFIG:-${npm_config_userconfig:-$HOME/.npmrc}}
    for file in "$HOME/.bunfig.toml" "${XDG_CONFIG_HOME:-$HOME/.config}/.bunfig.toml"; do [ ! -e "$file" ] || return 1; done
    case $NODE_OPTIONS in *openssl* | *tls* | *use-*) return 1 ;; esac
    [ "$user" = "$HOME/.npmrc" ] || [ ! -e "$HOME/.npmrc" ] || return 1
    set --
    for file in "$user" /etc/npmrc "${npm%/bin/npm}/etc/npmrc" "${NPM_CONFIG_GLOBALCONFIG:-${npm_config_globalconfig-}}"; do
        [ ! -f "$file" ] || set -- "$@" "$file"
    done
    awk -v "read_by_bun=$HOME/.npmrc" '
        function check(setting, is_read) {
            value = setting
            sub(/^[^=]*=[[:space:]]*"?/, "", value); sub(/"?[[:space:]]*$/, "", value)
            sub(/[[:space:]]*=.*/, "", setting); gsub(/^[[:space:]]+|[[:space:]]+$|\[\]$/, "", setting)
            if (is_read && setting ~ /^(@[^:]*:)?registry$|^\/\/.*:(_auth|_authToken|_password|username|email)$/) return
            setting = tolower(setting)
            gsub(/_/, "-", setting)
            if (setting == "cafile" && value ~ /^\//) { if (cafile == "") cafile = value; return }
            # These do not decide what is installed.
            if (setting !~ /^(always-auth|audit|cache|color|fund|(fetch|init|logs|save)-.*|(global|user)config|loglevel|maxsockets|node-gyp|nodedir|(npm|user)-(agent|version)|npm-globalconfig|omit-lockfile-registry-resolved|package-lock|prefer-(off|on)line|(global-|local-)?prefix|progress|python|save|script-shell|update-notifier|yes)$/) exit unknown = 1
        }
        BEGIN { for (name in ENVIRON) if (tolower(name) ~ /^npm_config_./ && ENVIRON[name] != "")
            check(substr(name, 12) "=" ENVIRON[name], substr(name, 12) ~ /^(registry|REGISTRY)$/) }
        !/^[[:space:]]*([#;]|$)/ { check($0, FILENAME == read_by_bun) }
        END { if (!unknown && cafile != "") print "--cafile=" cafile; exit unknown }' "$@" </dev/null
}
# bun runs scripts only of packages that it trusts, and does not know the other options.
can_use_bun() {
    case ${NPM_USE_BUN:-true}$run_scripts$shared$locations$overrides$own_age$packages in true*--legacy-peer-deps*) return 1 ;; true"$packages") ;; *) return 1 ;; esac
    command -v bun >/dev/null || return 1
    case $(bun --version) in 0.* | 1.[012].*) return 1 ;; esac
    bun_options=$(bun_knows_settings)
}
bun=''
if can_use_bun; then bun=yes; else needs npm "install it with \`apt-get install npm\`"; fi

# shellcheck disable=SC2086 # one option a line
isolated=$(printf '%s\n' --prefix "$part" --global=false --location=project --workspaces=false --dry-run=false --save=true \
    --bin-links=true --install-links=true --package-lock-only=false --os= --cpu= --libc= --min-release-age-exclude= \
    --loglevel=error $retry)
case $packages in *--omit=*) ;; *) isolated="$isolated${IFS}--include=prod${IFS}--include=optional${IFS}--include=peer" ;; esac
# shellcheck disable=SC2086 # one option a line
npm() { command npm $isolated "$@"; }
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

fetch_dates() {
    if [ "$bun" ] && (cd "$part" && { bun info "$package" time || bun info "$package" name >/dev/null; }); then return; fi
    [ "$npm" ] && npm view "$package" time
}
start_check_of_dates

if [ "$bun" ]; then
    seconds=0 days=${released_before:+$min_release_age}
    case $days in
        *.*) seconds=$(echo "$days" | awk '{ seconds = $1 * 86400; print int(seconds) + (seconds > int(seconds)) }') ;;
        ?*) seconds=$((days * 86400)) ;;
    esac
    unset BUN_OPTIONS BUN_CONFIG_REGISTRY BUN_CONFIG_TOKEN BUN_CONFIG_SKIP_INSTALL_PACKAGES BUN_CONFIG_SKIP_LOAD_LOCKFILE BUN_CONFIG_SKIP_SAVE_LOCKFILE
    # A copy of each file, as npm makes it: a link into the cache would change with it.
    # shellcheck disable=SC2086 # one package a line
    bun add --cwd "$part" --no-env-file --linker=hoisted --backend=copyfile --no-progress --ignore-scripts $bun_options \
        "--minimum-release-age=$seconds" --minimum-release-age-excludes= $packages >"$log" 2>&1 ||
        echo 'error: bun failed' >>"$log"
    # npm says why bun failed, and decides about a dependency that is not from a registry: its version in the lock file is a URL
    # or a path.
    if grep -q '^error: ' "$log" || grep -qE '^ *"[^"]*": \["[^"]*[^"@]@[^0-9"]' "$part/bun.lock"; then
        [ "$npm" ] || fail "$(sed -n 's/^error: //p' "$log" | head -n 1); npm would say more: install it with \`apt-get install npm\`"
        cat "$log" >&2
        bun='' && begin_node -- /etc/npmrc "${npm%/bin/npm}/etc/npmrc"
    fi
fi
# overrides.npm.overrides becomes npm's own field `overrides`, which replaces transitive dependencies.
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
[ "$bun" ] || npm install --no-audit --no-fund --no-progress --no-update-notifier $packages $scripts \
    ${released_before:+--before=$released_before} >"$log" 2>&1 || {
    [ -z "$check_pid" ] || wait "$check_pid"
    explain && exit 1
}
end_check_of_dates

put_in_place "$part" "node_modules/.bin/$name" "$@"
