# shellcheck shell=sh disable=SC2034,SC2154
# The code of a hook with one request, after its variables and the code of every hook.
# Whether rigup itself has begun the hook, and puts in place what it builds.
begun=
# Declines a request that this provider cannot have, so that rigup does not install what the provider itself requires.
decline_request() { "$RIGUP" hook failure --name "$name" --declined "$1" && decline "$1"; }
reject() { "$RIGUP" hook failure --name "$name" --rejected "$1" && exit 0; }
# Sets package to the package of the request, without options. Rejects a request that has several.
one_package() {
    package=$(printf '%s\n' "$packages" | grep -v '^-') || :
    case $package in *"
"*) reject "a program comes from one package, not several; give each package its own requirement" ;; esac
}
# Rejects locations, which have no release date and can run scripts, except those that match the regular expression $1.
check_locations() {
    [ "$locations" ] || return 0
    location=$(printf '%s\n' "$locations" | head -n 1)
    [ -z "$location" ] || [ -z "$must_keep_age" ] ||
        reject "cannot enforce min_release_age: $location has no release date"
    location=$(printf '%s\n' "$locations" | grep -vE "^\$${1+|$1}" | head -n 1) || :
    [ -z "$location" ] || [ "$run_scripts" ] ||
        reject "$location is not from a registry, so it can run scripts; allow them with --postinstall-scripts"
}
# The rule of the policy that is not enforced, which hook binary states in the record.
unenforced=
# Warns with $1 that the age of releases is not enforced.
warn_of_age() { unenforced=min_release_age && warn "$1"; }
# Returns whether this is the first call with $1 in this data dir, or the first in $2 minutes.
once() {
    [ -z "${2-}" ] || [ -z "$(find "$stamps/$1" -mmin "+$2" 2>/dev/null)" ] || rm -f "$stamps/$1"
    (umask 077 && mkdir -p "$stamps" && set -C && : >"$stamps/$1") 2>/dev/null
}
# Fails if $foreign is in the place of the prefix, or of $part: it is not rigup's to replace.
check_place() { [ -z "$foreign" ] || fail "$foreign exists, and rigup did not make it; move it away"; }
# Makes the folder $part, unless hook begin has just made it, to build in: a failure or a kill leaves the earlier prefix. If
# requirements share the prefix, $part begins as a copy of it, or of the file $1 in it.
part=$prefix.part
remove_part() {
    { [ ! -e "$part" ] && [ ! -L "$part" ]; } || rm -rf "$part" 2>/dev/null ||
        { [ ! -L "$part" ] && chmod -R u+rwx "$part" && rm -rf "$part"; } 2>/dev/null
}
make_part() {
    check_place
    trap 'trap "" HUP INT TERM; remove_part || :' EXIT
    trap 'exit 143' HUP INT TERM
    if [ "$part_is_new$part" != "yes$prefix.part" ]; then
        remove_part || fail "cannot remove $part: $(rm -rf "$part" 2>&1 | head -n 1)"
        [ -d "${part%/*}" ] || mkdir -p "${part%/*}"
        mkdir "$part" # fails if there is a link by now
    fi
    part_is_new=
    [ -z "$shared" ] || [ ! -e "$prefix/${1-.}" ] || cp -Rp "$prefix/${1-.}" "$part"
}
# Ends the hook, which has built the prefix in $part or in the folder $1 in it: prints the Binary record of the program $2, a
# path in the prefix, and puts the folder in place if the request accepts it. The other arguments are those of the hook. A
# rigup that has begun the hook does the rest, without a process of its own. The variables relocate, package_version and
# unenforced are the options of hook binary.
relocate=''
package_version=''
put_in_place() {
    built=$1 program=$2 && shift 2
    case $begun/$built/$program$package_version in
    /* | *[!A-Za-z0-9/._@+-]*)
        "$RIGUP" hook binary --provider "$provider" --built "$built" --abspath "$prefix/$program" ${relocate:+--relocate} \
            ${package_version:+"--package-version=$package_version"} ${unenforced:+"--unenforced=$unenforced"} -- "$@"
        return ;;
    esac
    trap '[ $? = 0 ] || remove_part' EXIT
    printf '{"type":"Binary","name":"%s","abspath":"%s","built":"%s","relocate":%s,"package_version":"%s","unenforced":[%s]}\n' \
        "$name" "$prefix/$program" "$built" "${relocate:-false}" "$package_version" "${unenforced:+\"$unenforced\"}"
}
# Rejects the request if one of the paths in the value $2 of the setting $1 is relative: a hook does not start in the
# folder of the command.
check_paths() {
    path=$(printf '%s\n' "$2" | tr ', ' '[\n*]' | grep -vE '^([/~]|[A-Za-z+]+:|$)' | head -n 1) || :
    [ -z "$path" ] || reject "$1 has the relative path $path, which depends on the current folder; make it absolute"
}
