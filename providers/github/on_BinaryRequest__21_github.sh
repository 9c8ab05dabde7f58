#!/bin/sh
# github: installs programs from the releases of their repositories on GitHub, GitLab or a host with Forgejo.
# Each release has a folder of its own, LIB_DIR/github/<owner>/<repository>/<tag>-<digest>, which its programs share.
# shellcheck disable=SC2154 # hook begin and hook release set variables
set -eu

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider github -- "$@")}"
eval "$("$RIGUP" hook release --provider github -- "$@")"
unpack_release
prefix=$release-$(printf %.12s "$sha256")
"$RIGUP" hook binary --provider github --built "$built" --prefix "$prefix" --abspath "$prefix/$program" \
    --url "$url" --url-sha256 "$sha256" --package-version "$version" ${unenforced:+"--unenforced=$unenforced"} -- "$@"
