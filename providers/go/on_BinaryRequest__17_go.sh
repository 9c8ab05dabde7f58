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

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider go -- "$@")}"
options=$(printf '%s\n' "$packages" | grep '^-') || :
packages=$(printf '%s\n' "$packages" | grep -v '^-')
for package in $packages; do
    # A module path starts with a host name, which has a dot; ./x is a folder.
    printf '%s\n' "${package%%@*}" | grep -q '^[A-Za-z0-9][^/]*\.[^/]*/' ||
        decline "$package is not a module path; put one into overrides.go.packages, such as example.com/tools/cmd/$name"
done
needs go

# A surrounding module or workspace, and flags and targets for other builds, must not change what is installed.
# GOFLAGS takes precedence over `go env -w`. -trimpath removes the build folders from the program, so that a build
# gives the same file on every machine.
log=$PWD/go.err
cd /
case "$(go env GOMODCACHE) $(go env GOFLAGS) " in "$LIB_DIR/"* | *" -modcacherw "*) modcacherw=-modcacherw ;; *) modcacherw= ;; esac
unset GOOS GOARCH
export GO111MODULE=on GOWORK=off GOFLAGS="-trimpath $modcacherw" GOBIN="$part/bin"

make_part
for package in $packages; do
    case $package in *@*) ;; *) package=$package@latest ;; esac
    # shellcheck disable=SC2086 # one option a line
    logged go install $options "$package" || {
        reason=$(grep -vE '^(go: (downloading|finding|extracting)|#) ' "$log" | head -n 1)
        ! printf %s "$reason" | grep -qE 'dial tcp|i/o timeout|TLS handshake|x509: ' ||
            reason="cannot reach the module proxy: ${reason#go: }; check the network, GOPROXY and the proxy"
        fail "$reason"
    }
done

put_in_place "$part" "bin/$name" "$@"
