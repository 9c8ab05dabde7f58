#!/bin/sh
# bash: runs the command in overrides.bash.install with `bash -eo pipefail` in INSTALL_ROOT, a folder beside the prefix.
# The command must put the program into BIN_DIR. The provider runs only if a requirement names it; "*" does not include
# it.
# Each requirement has a prefix of its own, LIB_DIR/bash/<name>, unless overrides.bash.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider bash -- "$@")}"
providers=
for arg; do case $arg in --binproviders=*) providers=${arg#--binproviders=} ;; esac; done
case ,$(printf %s "$providers" | tr -d ' '), in
    *,bash,*) ;;
    *) decline "bash runs only if it is named; add bash to the requirement's binproviders" ;;
esac
install=$("$RIGUP" hook override install --provider bash -- "$@")
[ "$install" ] || decline "no command is given; set overrides.bash.install to one that puts $name into \$BIN_DIR"
check_place
needs bash

# The earlier version may be in the backup folder of a run that was killed.
restore() {
    if [ -e "$part/.rigup-old" ]; then rm -rf "$prefix" && mv "$part/.rigup-old" "$prefix"; fi
    rmdir "$prefix" 2>/dev/null || :
}
log=$PWD/bash.err failed=$PWD/bash.line
# Runs the command in the folder $1. The trap is on its first line, so that the line numbers are those of the command.
run() {
    printf 'bash runs the command of the requirement, in %s: %s\n' "$1" "$install" >&2
    mkdir -p "$1/bin"
    code=0
    (cd "$1" && ABXPKG_PYTHON=${ABXPKG_PYTHON:-$(command -v python3 || :)} INSTALL_ROOT=$1 BIN_DIR=$1/bin \
        bash -eo pipefail -c "trap 'echo \"line \$LINENO of \" >&9' ERR; $install" >&2 2>"$log" 9>"$failed") || code=$?
    cat "$log" >&2
    reason=$(grep . "$log" | tail -n 1)
    [ "$code" = 0 ] || fail "$(tail -n 1 "$failed")the command exited with code $code${reason:+: $reason}"
    [ -x "$1/bin/$name" ] || fail "the command put no program $name into BIN_DIR"
    "$RIGUP" hook relocate "$1"
}

restore
make_part
run "$part"
if ! grep -rqF -e "$part" -e "$(cd "$part" && pwd -P)" "$part"; then
    put_in_place "$part" "bin/$name" "$@"
    exit
fi

# A file contains the path of the folder that it was built in, so the command runs once more, in the prefix itself.
# Meanwhile the earlier version is in the backup folder, and is restored after a failure.
echo "a file of the result contains the path of its folder, so it is built again in place" >&2
trap 'trap "" HUP INT TERM; restore; remove_part || :' EXIT
remove_part
mkdir -p "$part" "$prefix"
if [ -z "$shared" ]; then mv "$prefix" "$part/.rigup-old"
else cp -Rp "$prefix" "$part/copy" && mv "$part/copy" "$part/.rigup-old"; fi
run "$prefix"
printf '%s\n' "$prefix" >"$prefix/.rigup-built-path" # After a move, the program does not count as installed.
"$RIGUP" hook binary --provider bash --built "$prefix" --abspath "$prefix/bin/$name" -- "$@"
mv "$part/.rigup-old" "$part/removed"
