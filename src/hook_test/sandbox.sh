#!/bin/sh
# Runs a hook on a read-only or full file system: DISK FAULT HOOK [ARGUMENT...]
# It must be started in its own mount namespace, in DISK/out. DISK becomes a small file system in memory that only the
# hook sees. Afterwards its contents are copied to the real DISK for inspection.
set -eu
disk=$1 fault=$2
shift 2

# From here on, `.` is the real DISK, whatever is mounted over it.
cd -P ..
mount -t tmpfs -o size=256k rigup-"$fault" "$disk"
mkdir "$disk/out" "$disk/lib"
case $fault in
    read-only) mount -o remount,bind,ro "$disk" ;;
    full) cat /dev/zero >"$disk/filling" 2>/dev/null || : ;;
esac
if (echo x >"$disk/out/probe") 2>/dev/null; then
    echo "the file system on $disk can still be written" >&2
    exit 1
fi
rm -f "$disk/out/probe" 2>/dev/null || :
: >set-up

status=0
(cd "$disk/out" && exec "$@") || status=$?
cp -R "$disk/out" "$disk/lib" .
exit "$status"
