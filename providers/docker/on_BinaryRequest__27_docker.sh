#!/bin/sh
# docker: writes a program that runs an image of a container with docker.
# shellcheck disable=SC2154 # hook begin sets name, prefix and packages, and wrap_image sets part
set -euf
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider docker -- "$@")}"
needs docker
image=$("$RIGUP" hook override image --provider docker -- "$@")
wrap_image docker "${image:-$packages}"
"$RIGUP" hook binary --provider docker --abspath "$prefix/bin/$name" --built "$part" -- "$@"
