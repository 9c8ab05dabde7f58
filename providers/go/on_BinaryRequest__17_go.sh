#!/bin/sh
# go: builds Go programs with `go install` from module paths such as example.com/tools/cmd/x, at the version after the
# `@` or at the latest one.
# Each requirement has a folder of its own, LIB_DIR/go/<name>, unless overrides.go.install_root names another. Downloads
# and compiled packages stay in the user's caches: go makes them read-only, so a data dir that contains them is hard to
# remove.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }

eval "$("$RIGUP" hook begin --provider go -- "$@")"
program=bin/$name
options=$(printf '%s\n' "$packages" | grep '^-') || :
packages=$(printf '%s\n' "$packages" | grep -v '^-') || decline "overrides.go has options but no module path"
for package in $packages; do
    # A module path starts with a host name, which has a dot; ./x is a folder.
    printf '%s\n' "${package%%@*}" | grep -q '^[A-Za-z0-9][^/]*\.[^/]*/' ||
        decline "$package is not a module path; put one into overrides.go.packages, such as example.com/tools/cmd/$name"
done
command -v go >/dev/null || decline "go is not on PATH; install Go from https://go.dev/dl, or with apt-get install golang-go"

# Build beside the prefix, then replace it: a failure or a kill leaves the working version.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part"
[ "$prefix" = "$LIB_DIR/go/$name" ] || [ ! -e "$prefix" ] || cp -Rp "$prefix/." "$part"
# -trimpath removes the build folders from the program, so that a build gives the same file on every machine.
for package in $packages; do
    case $package in *@*) ;; *) package=$package@latest ;; esac
    # shellcheck disable=SC2086 # one option a line
    GO111MODULE=on GOBIN=$part/bin go install -trimpath $options "$package" >&2 2>go.err || {
        cat go.err >&2 && rm -rf "$part"
        grep -vE '^(go: (downloading|finding|extracting)|#) ' go.err | head -n 1 >&2
        exit 1
    }
done
[ -x "$part/$program" ] || { "$RIGUP" hook binary --provider go --abspath "$part/$program" -- "$@" || rm -rf "$part"; exit 1; }
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider go --abspath "$prefix/$program" -- "$@"
