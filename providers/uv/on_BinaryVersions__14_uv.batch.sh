#!/bin/sh
# uv: lists the versions of Python packages on PyPI, or on the index that uv's settings name.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider uv --versions)"
uv_index
list_python "$LIB_DIR/uv"
