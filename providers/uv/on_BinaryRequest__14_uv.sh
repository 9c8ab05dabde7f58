#!/bin/sh
# uv: installs Python packages from PyPI with uv, never with pip.
# Each requirement has a venv of its own, LIB_DIR/uv/<name>, unless overrides.uv.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider uv -- "$@")}"
needs uv
check_wheels
# A requested age takes precedence over the options of a requirement.
case $must_keep_age$packages in yes*--exclude-newer-package=*) packages=$(printf '%s\n' "$packages" | grep -v '^--exclude-newer-package=') ;; esac

filter_uv_settings
use_uv
fill_venv uv
put_in_place "$venv" "bin/$name" "$@"
