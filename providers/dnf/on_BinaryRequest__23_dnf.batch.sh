#!/bin/sh
# dnf: installs packages of Fedora, RHEL and their derivatives with dnf, as root or with `sudo -n`. All packages are
# installed in one transaction, and one request at a time if that fails. Packages are installed system-wide.
# shellcheck disable=SC2034,SC2154 # hook begin sets requests and plan, and its functions read update_error
set -euf
IFS='
'
eval "$("$RIGUP" hook begin --provider dnf --batch)"
needs dnf
needs_root dnf

log=$PWD/dnf.log
dnf_run() {
    verb=$1 && shift
    logged as_root dnf -y --setopt=install_weak_deps=False "$verb" "$@" && return
    ! grep -q 'no enabled repositories' "$log" || decline "dnf has no enabled repositories; enable one in /etc/yum.repos.d"
    # dnf goes on without a repository that it cannot reach.
    ! grep -q 'Failed to download metadata' "$log" || update_error=$(reason)
    false
}
install() { dnf_run install "$@"; }
# dnf 4 prints the first form, dnf 5 the second one.
unknown() { sed -n 's/^Error: Unable to find a match: //p; s/^No match for argument: //p' "$log" | tr ' ' '\n'; }
reason() {
    reason=$(sed -n 's/^  *- //p; s/^Error: \(..*\)/\1/p' "$log" | head -n 1)
    echo "${reason:-$(tail -n 1 "$log")}"
}
# rigup separates a version with `=`, dnf with `-`.
packages() { printf '%s\n' "$1" | cut -f 2- | tr '\t' '\n' | sed 's/=/-/'; }

# dnf also takes patterns, groups, files and URLs. rpm counts a package as installed even if its program is missing or
# damaged.
damaged='' together=''
for line in $plan; do
    odd=$(packages "$line" | grep -vxE '[A-Za-z0-9_][A-Za-z0-9._+:~^-]*' || packages "$line" | grep '\.rpm$' | head -n 1)
    # shellcheck disable=SC2046 # one package a line
    if [ "$odd" ]; then failure "$line" --declined "$odd is not the name of an RPM package"
    elif rpm --verify $(packages "$line") 2>/dev/null | grep -q "bin/$(name "$line")\$"; then damaged="$damaged$line$IFS"
    else together="$together$line$IFS"; fi
done
install_all "$together"
# shellcheck disable=SC2046 # one package a line
for line in $damaged; do dnf_run reinstall $(packages "$line") || failure "$line" "$(reason)"; done

printf '%s\n' "$requests" |
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$RIGUP" hook binary --provider dnf --batch --list-files 'rpm -ql'
