#!/bin/sh
# example: copies programs from the folder EXAMPLE_SOURCE (see config.json).
# Each requirement has a folder of its own, LIB_DIR/example/<name>.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -eu

# Set name, prefix and packages, take the lock of the prefix, and define functions such as decline.
eval "$("$RIGUP" hook begin --provider example -- "$@")"

[ -f "$EXAMPLE_SOURCE/$packages" ] || decline "$EXAMPLE_SOURCE does not contain $packages"

# Copy to a temporary name and rename it, so that the program either is complete or does not exist.
mkdir -p "$prefix"
cp "$EXAMPLE_SOURCE/$packages" "$prefix/$name.part" # your installer goes here
mv "$prefix/$name.part" "$prefix/$name"

exec "$RIGUP" hook binary --provider example --abspath "$prefix/$name" -- "$@"
