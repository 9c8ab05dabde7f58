#!/bin/sh
# example: copies programs out of the folder EXAMPLE_SOURCE (see config.json).
# Where: a folder for each requirement, LIB_DIR/example/<name>.
set -eu
decline() { echo "$1" >&2; exit 0; }

"$RIGUP" hook accepts --provider example -- "$@"
prefix=$("$RIGUP" hook prefix --provider example -- "$@")
package=$("$RIGUP" hook packages --provider example -- "$@")
for arg; do case $arg in --name=*) name=${arg##*/} name=${name#--name=} ;; esac; done

[ -f "$EXAMPLE_SOURCE/$package" ] || decline "there is no $package in $EXAMPLE_SOURCE"

# Made aside, then renamed: half a program is never taken for the whole.
mkdir -p "$prefix"
cp "$EXAMPLE_SOURCE/$package" "$prefix/$name.part" # your installer goes here
mv "$prefix/$name.part" "$prefix/$name"

exec "$RIGUP" hook binary --provider example --abspath "$prefix/$name" -- "$@"
