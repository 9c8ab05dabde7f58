#!/bin/sh
# The fourth step of action.yml: installs the tools, and tells the next steps where everything is.
set -euf

# All runners that use the cache are one machine, so they find each other's records.
(
    umask 077
    mkdir -p "$RIGUP_DATA_DIR"
    [ -s "$RIGUP_DATA_DIR/machine-id" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$RIGUP_DATA_DIR/machine-id"
)
echo "RIGUP_DATA_DIR=$RIGUP_DATA_DIR" >>"$GITHUB_ENV"
# In a container, the checkout belongs to the user of the host.
if [ -e /.dockerenv ] || [ -e /run/.containerenv ]; then
    export RIGUP_TRUST_DIR="$GITHUB_WORKSPACE${RIGUP_TRUST_DIR:+:$RIGUP_TRUST_DIR}"
    echo "RIGUP_TRUST_DIR=$RIGUP_TRUST_DIR" >>"$GITHUB_ENV"
fi

if [ "$INSTALL" = false ]; then
    folder=$(rigup env --shell github)
    echo "$folder" >>"$GITHUB_PATH"
    echo "lib-bin-dir=$folder" >>"$GITHUB_OUTPUT"
    exit
fi
[ "$INSTALL" != true ] || INSTALL=
[ "$LOCKED" = false ] || set -- --locked
# shellcheck disable=SC2086 # the names are separated by blanks
exec rigup install --ci github "$@" -- $INSTALL
