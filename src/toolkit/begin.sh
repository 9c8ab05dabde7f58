# shellcheck shell=sh disable=SC2154
# The end of the code that a provider's hook evaluates at its start. The code before it sets the variables.
[ -z "$cache" ] || export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$cache}" \
    XDG_DATA_HOME="${XDG_DATA_HOME:-$cache}" XDG_STATE_HOME="${XDG_STATE_HOME:-$cache}"
decline() { printf '%s\n' "$1" >&2; exit 0; }
fail() { printf '%s\n' "$1" >&2; exit 1; }
reject() { "$RIGUP" hook failure --name "$name" --rejected "$1" && exit 0; }
warn() { printf '{"type":"Warning","message":"%s"}\n' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
# Declines if there is no program $1; $2 says how to install it.
needs() { command -v "$1" >/dev/null || decline "$1 is not on PATH; $2"; }
# Rejects locations, which have no release date and can run scripts, except those that match the regular expression $1.
check_locations() {
    location=$(printf '%s\n' "$locations" | head -n 1)
    [ -z "$location" ] || [ -z "$must_keep_age" ] ||
        reject "cannot enforce min_release_age: $location has no release date"
    location=$(printf '%s\n' "$locations" | grep -vE "^\$${1+|$1}" | head -n 1) || :
    [ -z "$location" ] || [ "$run_scripts" ] ||
        reject "$location is not from a registry, so it can run scripts; allow them with --postinstall-scripts"
}
# Returns whether this is the first call with $1 in this data dir.
once() { (umask 077 && mkdir -p "$stamps" && set -C && : >"$stamps/$1") 2>/dev/null; }
# Makes the folder $part, to build in: a failure or a kill leaves the earlier prefix. If requirements share the prefix,
# $part begins as a copy of it, or of the file $1 in it.
part=$prefix.part
make_part() {
    trap 'trap "" HUP INT TERM; rm -rf "$part"' EXIT
    trap 'exit 143' HUP INT TERM
    rm -rf "$part" && mkdir -p "$part"
    [ -z "$shared" ] || [ ! -e "$prefix/${1-.}" ] || cp -Rp "$prefix/${1-.}" "$part"
}
