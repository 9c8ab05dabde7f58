# shellcheck shell=sh disable=SC2034,SC2154
# The code of a hook that installs Node packages, such as that of npm.
# Makes $part, with a package.json, and changes to a folder without parents, without the options for another project. Sets
# `settings` to the variables and the user's settings, also those in the files after $1, and `retry` to options with the
# prefix $1: between attempts to reach a registry, npm and pnpm wait for a minute, unless the settings say otherwise.
begin_node() {
    make_part package.json
    [ -e "$part/package.json" ] || echo '{"private": true}' >"$part/package.json"
    cd /
    unset NODE_PATH npm_config_workspace NPM_CONFIG_WORKSPACE
    [ -z "${NODE_OPTIONS-}" ] ||
        NODE_OPTIONS=$(printf %s "$NODE_OPTIONS" | tr ' ' '\n' | grep -E '^--(dns|max|openssl|tls|use)-' | tr '\n' ' ') || :
    export NODE_OPTIONS="${NODE_OPTIONS-}"
    retry=$(printf '%s\n' "$1fetch-retry-mintimeout=1000" "$1fetch-retry-maxtimeout=3000")
    shift
    settings=$({ env; cat "${NPM_CONFIG_USERCONFIG:-${npm_config_userconfig:-$HOME/.npmrc}}" "$@"; } 2>/dev/null) || :
    ! printf '%s\n' "$settings" | grep -qiE '^ *(p?npm_config_)?fetch.?retr' || retry=
}
# Finds out whether the registry has release dates: without them, every release counts as old enough. The hook has the functions
# `fetch_dates`, which prints the dates of $package, and `explain`, which prints the cause of the failure in the file $log.
# A registry that has dates is not checked again for a day, and only one of several concurrent hooks checks it.
start_check_of_dates() {
    package=$(printf '%s\n' "$packages" | grep -v '^-' | head -n 1) dates=${log%.log}.dates check_pid=
    # The registry of npm has dates.
    registry=$(printf '%s\n' "$settings" | grep -iE 'registry|scopes' |
        grep -viE '^(omit-lockfile-registry-resolved|cargo_.*|(npm_config_)?registry) *= *"?(true|false|https://registry\.npmjs\.org/?)?"? *$') ||
        return 0
    case ${package#npm:} in @*) scope=${package%%/*} ;; *) scope= ;; esac
    registry=npm-$(printf '%s\n' "$scope" "$registry" | cksum | tr ' ' -)
    if [ "$must_keep_age" ]; then
        fetch_dates >"$dates" 2>"$log" || { explain && exit 1; }
        [ -s "$dates" ] || fail "cannot enforce min_release_age: the registry has no release date of $packages"
    elif [ "$released_before" ] && [ -z "$locations$(find "$stamps/$registry" -mtime -1 2>/dev/null)" ] &&
        once "$registry-asked" 1; then
        { fetch_dates >"$dates" 2>/dev/null || rm -f "$dates"; } & check_pid=$!
    fi
}
# Waits for the check, and warns if the registry has no dates.
end_check_of_dates() {
    [ "$check_pid" ] || return 0
    wait "$check_pid"
    check_pid=
    if [ -s "$dates" ]; then : >"$stamps/$registry"
    elif [ -e "$dates" ]; then warn_of_age "the registry has no release dates, so the newest releases are installed"; fi
}
