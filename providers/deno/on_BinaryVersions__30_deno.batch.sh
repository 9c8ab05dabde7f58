#!/bin/sh
# deno: lists the versions of npm packages in the npm registry, or in those that ~/.npmrc names.
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider deno --versions)"
list_node "$HOME/.npmrc"
