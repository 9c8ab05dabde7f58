#!/bin/sh
# uv: installs Python packages from PyPI with uv, never with pip. It uses a venv rather than `uv tool`, which takes only
# one package, so that all packages and options of a requirement are one install.
# Each requirement has a venv of its own, LIB_DIR/uv/<name>, unless overrides.uv.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider uv -- "$@")"
needs uv
check_wheels
# A requested age takes precedence over the options of a requirement.
if [ "$must_keep_age" ]; then packages=$(printf '%s\n' "$packages" | grep -v '^--exclude-newer-package='); fi

filter_uv_settings
use_uv
fill_venv uv
"$RIGUP" hook binary --provider uv --built "$part" --abspath "$prefix/bin/$name" \
    ${unenforced:+"--unenforced=$unenforced"} -- "$@"
