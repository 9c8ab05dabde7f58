#!/bin/sh
# github: lists the releases of repositories, of which only those count that a request can be installed from.
set -eu

"$RIGUP" hook release --provider github --versions
