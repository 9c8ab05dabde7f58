#!/bin/sh
# bash: runs the command in overrides.bash.install with `bash -eo pipefail`, inside the prefix, which INSTALL_ROOT names as
# well. It has to leave the program in BIN_DIR. Asked only where it is named: "every provider" does not mean it.
# Where: a prefix for each requirement, LIB_DIR/bash/<name>, or the one that overrides.bash.install_root names.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
decline() { echo "$1" >&2; exit 0; }

eval "$("$RIGUP" hook begin --provider bash -- "$@")"
providers=
for arg; do case $arg in --binproviders=*) providers=${arg#--binproviders=} ;; esac; done
case ,$(printf %s "$providers" | tr -d ' '), in
    *,bash,*) ;;
    *) decline "bash is off unless it is named: put bash into the requirement's binproviders" ;;
esac
install=$("$RIGUP" hook override install --provider bash -- "$@")
[ "$install" ] || decline "no command is given: overrides.bash.install has to be one that leaves $name in \$BIN_DIR"
command -v bash >/dev/null || decline "bash is not on PATH: apt-get install bash"

printf 'bash runs the command of the requirement, in %s: %s\n' "$prefix" "$install" >&2

# A command may write down where it installs, so it works in the prefix itself. What was there is aside as long as that
# lasts, and comes back after a failure, or by the next run after a kill.
aside=$prefix.part
restore() {
    if [ -e "$aside/old" ]; then rm -rf "$prefix" && mv "$aside/old" "$prefix"; fi
    rm -rf "$aside"
    rmdir "$prefix" 2>/dev/null || :
}
restore
mkdir -p "$prefix" "$aside"
if [ "$prefix" = "$LIB_DIR/bash/$name" ]; then mv "$prefix" "$aside/old"
else cp -Rp "$prefix" "$aside/copy" && mv "$aside/copy" "$aside/old"; fi
mkdir -p "$prefix/bin"
(cd "$prefix" && INSTALL_ROOT=$prefix BIN_DIR=$prefix/bin bash -eo pipefail -c "$install" >&2) || {
    code=$?
    restore
    [ "$code" != 10 ] || code=1 # 10 would mean: not for me
    exit "$code"
}
"$RIGUP" hook binary --provider bash --abspath "$prefix/bin/$name" -- "$@" || { restore && exit 1; }
mv "$aside/old" "$aside/gone" && rm -rf "$aside"
