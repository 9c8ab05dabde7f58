#!/bin/sh
# url: installs programs from the address in overrides.url.url, which may contain {version} and the platform.
# Each requirement has a folder of its own, LIB_DIR/url/<name>.
# shellcheck disable=SC2154 # hook begin and hook release set variables
set -eu

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider url -- "$@")}"
eval "$("$RIGUP" hook release --at-url --provider url -- "$@")"
unpack_release
"$RIGUP" hook binary --provider url --built "$built" --abspath "$prefix/$program" --url "$url" --url-sha256 "$sha256" -- "$@"
