#!/bin/sh
# Runs a hook in folders that are read-only or full: DISK KIND HOOK [ARGUMENT...]
# To be started in a mount namespace of its own, in DISK/out. DISK becomes a small file system in memory that only the
# hook sees. What it holds in the end is copied to the real DISK, where it can be looked at.
set -eu
disk=$1 kind=$2
shift 2

# From here on, `.` is the real DISK, whatever is mounted over it.
cd -P ..
mount -t tmpfs -o size=256k rigup-"$kind" "$disk"
mkdir "$disk/out" "$disk/lib"
case $kind in
    read-only) mount -o remount,bind,ro "$disk" ;;
    full) cat /dev/zero >"$disk/filling" 2>/dev/null || : ;;
esac
if (echo x >"$disk/out/probe") 2>/dev/null; then
    echo "what is mounted on $disk can be written all the same" >&2
    exit 1
fi
rm -f "$disk/out/probe" 2>/dev/null || :
: >cramped

status=0
(cd "$disk/out" && exec "$@") || status=$?
cp -R "$disk/out" "$disk/lib" .
exit "$status"
