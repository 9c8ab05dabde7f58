#!/bin/sh
# The second step of action.yml: gets rigup, by default from the releases of the action's own repository.
set -eu

RIGUP_MIRROR=${RIGUP_MIRROR:-$GITHUB_SERVER_URL/$ACTION_REPOSITORY/releases/download}
[ -n "$RIGUP_SHA256" ] || unset RIGUP_SHA256
export RIGUP_MIRROR
sh "$GITHUB_ACTION_PATH/packaging/install.sh"

version=$("$RIGUP_INSTALL_DIR/rigup" --version)
{
    echo "version=${version#rigup }"
    echo "path=$RIGUP_INSTALL_DIR/rigup"
} >>"$GITHUB_OUTPUT"
echo "$RIGUP_INSTALL_DIR" >>"$GITHUB_PATH"
