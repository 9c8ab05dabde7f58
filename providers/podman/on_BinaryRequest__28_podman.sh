#!/bin/sh
# podman: writes a program that runs an image of a container with podman.
# shellcheck disable=SC2154 # hook begin sets name and prefix, one_package package, and wrap_image part
set -euf
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider podman -- "$@")}"
one_package
needs podman
image=$("$RIGUP" hook override image --provider podman -- "$@")
wrap_image podman "${image:-$package}"
put_in_place "$part" "bin/$name" "$@"
