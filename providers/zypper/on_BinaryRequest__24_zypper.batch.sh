#!/bin/sh
# zypper: installs packages of openSUSE and SUSE Linux Enterprise with zypper, as root or with `sudo -n`. All packages are
# installed in one transaction, and one request at a time if that fails. Packages are installed system-wide.
# shellcheck disable=SC2034,SC2154 # hook begin sets requests and plan, and its functions read update_error
set -euf
IFS='
'
eval "$("$RIGUP" hook begin --provider zypper --batch)"
needs zypper
needs_root zypper

log=$PWD/zypper.log
lock_error=''
holder() { sed -n 's/^System management is locked by the application with \(pid [0-9]*\).*/\1/p' "$log"; }
# zypper writes problems to stdout, and other errors to stderr.
zypper_install() {
    timeout=$1 && shift
    as_root env ZYPP_LOCK_TIMEOUT="$timeout" zypper --non-interactive install --no-recommends "$@" >"$log" 2>&1
}
install() {
    # Do not wait for the lock again after a wait that timed out.
    [ -z "$lock_error" ] || return 1
    zypper_install 0 "$@" && return
    holder=$(holder)
    if [ "$holder" ]; then
        echo "waiting for the lock of zypper ($holder)" >&2
        zypper_install 300 "$@" && return
        holder=$(holder)
        [ -z "$holder" ] || lock_error="the lock of zypper is still held ($holder); try again later"
    fi
    cat "$log" >&2
    # zypper goes on without a repository that it cannot reach.
    ! grep -q '^Some of the repositories have not been refreshed' "$log" || update_error=$(reason)
    false
}
unknown() { sed -n "s/^No provider of '\(.*\)' found\.$/\1/p" "$log"; }
reason() {
    cause=$(sed -n "s/^Problem: //p; s/^Error message: //p; /^File .* not found/p" "$log" | head -n 1)
    cause=${lock_error:-$cause}
    echo "${cause:-$(tail -n 1 "$log")}"
}

# zypper also takes patterns, files and URLs, and removes the package x for `!x`. rpm counts a package as installed even if
# its program is missing or damaged.
name_pattern='[A-Za-z0-9_][A-Za-z0-9._+-]*(<?=[A-Za-z0-9._+:~^-]+)?'
damaged='' together=''
for line in $plan; do
    names=$(packages "$line" | sed 's/[<=].*//')
    odd=$(packages "$line" | grep -vxE "$name_pattern" || printf '%s\n' "$names" | grep '\.rpm$') || :
    # shellcheck disable=SC2086 # one package a line
    if [ "$odd" ]; then failure "$line" --declined "$odd is not the name of an RPM package"
    elif rpm --verify $names 2>/dev/null | grep -q "bin/$(name "$line")\$"; then damaged="$damaged$line$IFS"
    else together="$together$line$IFS"; fi
done
install_all "$together"
# shellcheck disable=SC2046 # one package a line
for line in $damaged; do install --force $(packages "$line") || failure "$line" "$(reason)"; done

printf '%s\n' "$requests" |
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$RIGUP" hook binary --provider zypper --batch --list-files 'rpm -ql'
