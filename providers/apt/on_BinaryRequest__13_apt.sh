#!/bin/sh
# apt: installs packages of Debian, Ubuntu and their kin with apt-get, as root or by `sudo -n`.
# Where: the system's own folders. One hook at a time, and the lists are fetched where missing or older than a day.
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }
as_root() {
    set -- env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

"$RIGUP" hook accepts --provider apt -- "$@"
command -v apt-get >/dev/null || decline "apt-get is not on PATH: apt serves Debian, Ubuntu and their kin only"
as_root true 2>/dev/null || decline "apt-get needs root: run rigup as root, or allow sudo without a password"
[ "${RIGUP_LOCKED-}" = apt ] || RIGUP_LOCKED=apt exec "$RIGUP" hook lock apt -- "$0" "$@"
packages=$("$RIGUP" hook packages --provider apt -- "$@")
for arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done

# The lists keep the server's time, but every fetch touches lists/partial, even one that finds nothing new.
if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null)" ] ||
    [ -z "$(find /var/lib/apt/lists/partial -prune -mtime -1 2>/dev/null)" ]; then
    as_root apt-get update >&2 || echo "apt-get update failed: going on with the lists as they are" >&2
fi

# A dpkg that was killed leaves a journal, and apt-get does nothing until dpkg has worked through it.
[ -z "$(ls /var/lib/dpkg/updates)" ] || as_root dpkg --force-confdef --force-confold --configure -a >&2 || :

# shellcheck disable=SC2086 # one package a line
install() {
    # A package whose program was deleted or spoilt counts as installed all the same.
    ! dpkg --verify $packages 2>/dev/null | grep -q "bin/$name\$" || set -- --reinstall
    as_root apt-get install -y --no-install-recommends --no-remove "$@" -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o APT::Cmd::Pattern-Only=true $packages >&2 2>apt.err
}
install || {
    cat apt.err >&2
    unknown=$(sed -n "s/^E: Unable to locate package //p; s/^E: Package '\(.*\)' has no .*/\1/p" apt.err)
    [ -z "$unknown" ] || decline "apt knows no package $(echo "$unknown" | paste -sd ' ' -)"
    exit 1
}

PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/games "$RIGUP" hook binary --provider apt -- "$@"
