#!/bin/sh
# docker: writes a program that runs an image of a container with docker.
# shellcheck disable=SC2154 # hook begin sets name and prefix, one_package package, and wrap_image part
set -euf
eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider docker -- "$@")}"
one_package
needs docker
image=$("$RIGUP" hook override image --provider docker -- "$@")
wrap_image docker "${image:-$package}"
put_in_place "$part" "bin/$name" "$@"
