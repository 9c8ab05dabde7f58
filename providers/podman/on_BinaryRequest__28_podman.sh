#!/bin/sh
# podman: writes a program that runs an image of a container with podman.
# shellcheck disable=SC2154 # hook begin sets name, prefix and packages, and wrap_image sets part
set -euf
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider podman -- "$@")}"
needs podman
image=$("$RIGUP" hook override image --provider podman -- "$@")
wrap_image podman "${image:-$packages}"
"$RIGUP" hook binary --provider podman --abspath "$prefix/bin/$name" --built "$part" -- "$@"
