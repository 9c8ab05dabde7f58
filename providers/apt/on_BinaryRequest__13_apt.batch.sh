#!/bin/sh
# apt: installs packages of Debian, Ubuntu and their derivatives with apt-get, as root or with `sudo -n`. All packages
# are installed in one transaction, and one request at a time if that fails, so that a bad package does not affect the
# others. Packages are installed system-wide. The package lists are updated if they are missing, if the hook did not
# update them in the last day, or if they list a file that the server no longer has.
# shellcheck disable=SC2154 # hook begin sets requests, plan and tab
set -euf
IFS='
'
eval "$("$RIGUP" hook begin --provider apt --batch)"
needs apt-get
needs_root apt-get
unattended() { as_root env DEBIAN_FRONTEND=noninteractive "$@"; }

log=$PWD/apt.log
lock_error='' is_updated=''
fetch_error() { sed -n 's/^[EW]: Failed to fetch \([^ ]*\) */cannot fetch \1: /p' "$log" | head -n 1; }
error() { sed -n 's/^E: //p' "$log" | head -n 1; }
update() {
    is_updated=yes
    # Without this option, apt-get succeeds even if it cannot reach a server.
    if as_root apt-get update -o APT::Update::Error-Mode=any >&2 2>"$log"; then as_root touch "$stamp" || :
    else cat "$log" >&2 && update_error=$(fetch_error) && update_error=${update_error:-$(error)}; fi
}
state=/var/lib/apt/ lists=/var/lib/apt/lists/
eval "$(apt-config shell state Dir::State/d lists Dir::State::lists/d)"
stamp=${state}rigup-updated
if [ -z "$(find "$lists" -name '*_Packages*' 2>/dev/null)" ] || [ -z "$(find "$stamp" -mtime -1 2>/dev/null)" ]; then
    update
fi

# A killed dpkg leaves a journal, and apt-get refuses to work until dpkg has processed it.
[ -z "$(ls /var/lib/dpkg/updates)" ] || unattended dpkg --force-confdef --force-confold --configure -a >&2 || :

# A request has the version that the program reports, but apt needs the full version, with epoch and revision. For 1.2,
# prefer 1.2-1 and 1.2+b1; use 1.2.3-1 only if there is no other, because some programs omit the end of their version.
full_version() {
    found=$(apt-cache madison "${1%%=*}" 2>/dev/null | awk -F ' *[|] *' -v wanted="${1#*=}" '
        { upstream = $2; sub(/^[0-9]+:/, "", upstream); rest = substr(upstream, length(wanted) + 1) }
        index(upstream, wanted) != 1 || rest ~ /^[0-9]/ { next }
        rest == "" || rest ~ /^[-+~]/ { best = $2; exit }
        longer == "" { longer = $2 }
        END { print (best == "" ? longer : best) }')
    echo "${1%%=*}=${found:-${1#*=}}"
}
case $plan in *=*)
    plan=$(for line in $plan; do
        printf %s "$(name "$line")"
        for package in $(packages "$line"); do
            case $package in -*) ;; *=*) package=$(full_version "$package") ;; esac
            printf '\t%s' "$package"
        done
        echo
    done) ;;
esac

apt_get_install() {
    timeout=$1 && shift
    unattended apt-get install -y --no-install-recommends --no-remove -o DPkg::Lock::Timeout="$timeout" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o APT::Cmd::Pattern-Only=true "$@" >&2 2>"$log"
}
is_locked() { grep -q '^E: Unable to acquire the dpkg' "$log"; }
install() {
    # Do not wait for the dpkg lock again after a wait that timed out.
    [ -z "$lock_error" ] || return 1
    apt_get_install 0 "$@" && return
    if [ -z "$is_updated" ] && grep -q '^E: Failed to fetch .* 404 ' "$log"; then
        echo "the package lists are out of date" >&2
        update
        apt_get_install 0 "$@" && return
    fi
    if is_locked; then
        # With a timeout of 0, apt-get names the holder of the lock at once; otherwise it is silent until the wait ends.
        holder="pid $(sed -n 's/^E: Could not get lock .* held by process \([0-9]*\).*/\1/p' "$log")"
        echo "waiting for the dpkg lock ($holder)" >&2
        apt_get_install "${APT_LOCK_PATIENCE:-300}" "$@" && return
        ! is_locked || lock_error="the dpkg lock is still held ($holder); try again later"
    fi
    cat "$log" >&2
    false
}
reason() {
    reason=${lock_error:-$(fetch_error)}
    echo "${reason:-$(error)}"
}
unknown() { sed -n "s/^E: Unable to locate package //p; s/^E: Package '\(.*\)' has no .*/\1/p" "$log"; }

# apt-get also takes patterns and files, removes the package x for `x-`, and installs it for `x+`, unless a package is
# called `x+`. dpkg counts a package as installed even if its program is missing or damaged.
name_pattern='[a-z0-9]([a-z0-9+.-]*[a-z0-9+.])?(:[a-z0-9-]*[a-z0-9])?([=/][A-Za-z0-9+.:~*/-]*[A-Za-z0-9.~*])?'
missing_plus() {
    for package in $(packages "$1" | grep '+$'); do
        apt-cache pkgnames "$package" | grep -qxF -e "$package" || echo "$package"
    done
}
damaged='' together=''
for line in $plan; do
    odd=$(packages "$line" | grep -vxE "$name_pattern" | head -n 1)
    missing=$(missing_plus "$line" | head -n 1)
    # shellcheck disable=SC2046 # one package a line
    if [ "$odd" ]; then failure "$line" --declined "$odd is not the name of a Debian package"
    elif [ "$missing" ]; then decline_unknown "$line" "$missing"
    elif dpkg --verify $(packages "$line" | sed 's/=.*//') 2>/dev/null |
        grep -q -e "bin/$(name "$line")\$" -e "games/$(name "$line")\$"; then damaged="$damaged$line$IFS"
    else together="$together$line$IFS"; fi
done
install_all "$together"
# shellcheck disable=SC2046 # one package a line
for line in $damaged; do install --reinstall $(packages "$line") || failure "$line" "$(reason)"; done

printf '%s\n' "$requests" |
    PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/games "$RIGUP" hook binary --provider apt --batch --list-files 'dpkg -L'
