#!/bin/sh
# go: builds Go programs with `go install`, from module paths such as example.com/tools/cmd/x, with @v1.2.3 or the latest.
# Where: a folder for each requirement, LIB_DIR/go/<name>, or the one that overrides.go.install_root names. What is fetched
# and compiled on the way stays in the user's own caches, which go makes read-only: a data dir could not be removed.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }

eval "$("$RIGUP" hook begin --provider go -- "$@")"
program=bin/$name
options=$(printf '%s\n' "$packages" | grep '^-') || :
packages=$(printf '%s\n' "$packages" | grep -v '^-') || decline "overrides.go has options, and no module path"
for package in $packages; do
    # A module path begins with a host, which has a dot; ./x would be a folder.
    printf '%s\n' "${package%%@*}" | grep -q '^[A-Za-z0-9][^/]*\.[^/]*/' ||
        decline "$package is no module path: overrides.go.packages has to name one, such as example.com/tools/cmd/$name"
done
command -v go >/dev/null || decline "go is not on PATH: install Go from https://go.dev/dl, or apt-get install golang-go"

# Built beside the prefix, then put in its place: a failure or a kill harms nothing that works.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part"
[ "$prefix" = "$LIB_DIR/go/$name" ] || [ ! -e "$prefix" ] || cp -Rp "$prefix/." "$part"
# Without the folders that it was built in, the same program is the same file on every machine.
for package in $packages; do
    case $package in *@*) ;; *) package=$package@latest ;; esac
    # shellcheck disable=SC2086 # one option a line
    GO111MODULE=on GOBIN=$part/bin go install -trimpath $options "$package" >&2 2>go.err || {
        cat go.err >&2 && rm -rf "$part"
        grep -vE '^(go: (downloading|finding|extracting)|#) ' go.err | head -n 1 >&2
        exit 1
    }
done
[ -x "$part/$program" ] || {
    echo "no program $name among what go built: $(set +f && cd "$part/bin" && echo ./*)" >&2
    rm -rf "$part" && exit 1
}
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider go --abspath "$prefix/$program" -- "$@"
