#!/bin/sh
# bash: runs the command in overrides.bash.install with `bash -eo pipefail` in the prefix, which is also INSTALL_ROOT.
# The command must put the program into BIN_DIR. The provider runs only if a requirement names it; "*" does not include
# it.
# Each requirement has a prefix of its own, LIB_DIR/bash/<name>, unless overrides.bash.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf

eval "$("$RIGUP" hook begin --provider bash -- "$@")"
providers=
for arg; do case $arg in --binproviders=*) providers=${arg#--binproviders=} ;; esac; done
case ,$(printf %s "$providers" | tr -d ' '), in
    *,bash,*) ;;
    *) decline "bash runs only if it is named; add bash to the requirement's binproviders" ;;
esac
install=$("$RIGUP" hook override install --provider bash -- "$@")
[ "$install" ] || decline "no command is given; set overrides.bash.install to one that puts $name into \$BIN_DIR"
check_place
needs bash "install it with apt-get install bash"

printf 'bash runs the command of the requirement, in %s: %s\n' "$prefix" "$install" >&2

# A command may store the path that it installs into, so it runs in the prefix itself. Meanwhile the earlier version is
# in a backup folder, and is restored after a failure, or by the next run of this hook after a kill.
backup=$prefix.part
restore() {
    if [ -e "$backup/old" ]; then rm -rf "$prefix" && mv "$backup/old" "$prefix"; fi
    rm -rf "$backup"
    rmdir "$prefix" 2>/dev/null || :
}
restore
trap 'trap "" HUP INT TERM; restore' EXIT
trap 'exit 143' HUP INT TERM
mkdir -p "$prefix" "$backup"
if [ -z "$shared" ]; then mv "$prefix" "$backup/old"
else cp -Rp "$prefix" "$backup/copy" && mv "$backup/copy" "$backup/old"; fi
mkdir -p "$prefix/bin"
# The trap is on the first line of the command, so that the line numbers are those of the command.
log=$PWD/bash.err failed=$PWD/bash.line code=0
(cd "$prefix" && INSTALL_ROOT=$prefix BIN_DIR=$prefix/bin \
    bash -eo pipefail -c "trap 'echo \"line \$LINENO of \" >&9' ERR; $install" >&2 2>"$log" 9>"$failed") || code=$?
cat "$log" >&2
reason=$(grep . "$log" | tail -n 1)
[ "$code" = 0 ] || fail "$(tail -n 1 "$failed")the command exited with code $code${reason:+: $reason}"
[ -x "$prefix/bin/$name" ] || fail "the command put no program $name into BIN_DIR"
"$RIGUP" hook relocate "$prefix"
"$RIGUP" hook binary --provider bash --built "$prefix" --abspath "$prefix/bin/$name" -- "$@"
trap - EXIT
mv "$backup/old" "$backup/removed" && rm -rf "$backup"
