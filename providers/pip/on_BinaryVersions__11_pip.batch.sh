#!/bin/sh
# pip: lists the versions of Python packages on PyPI, or on the index that the settings of pip name, or those of uv if it is
# on PATH and pip has none.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

# hook begin reads the settings of the Python that a shim stands for.
python=$(command -v python3) || python=
case $python in */shims/*) PATH=$(cd / && "$python" -ISc 'import sys; print(sys.prefix)')/bin:$PATH && export PATH ;; esac
eval "$("$RIGUP" hook begin --provider pip --versions)"
unset PIP_ENABLED PIP_PYTHON PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR
ask_pip_settings
[ -z "$unread" ] || decline "python3 has no pip, which must read its settings ($unread)"

unclear() { decline "pip's setting $1 can change what it installs, so one page does not tell"; }
index='' links='' no_index='' pre=''
for setting in $settings; do
    setting=${setting#*=} value=${setting#*=}
    case $setting in
        index-url=*) index=$value ;;
        cert=*) export CURL_CA_BUNDLE="$value" ;;
        proxy=*) export ALL_PROXY="$value" http_proxy="$value" https_proxy="$value" ;;
        find-links=*) links=$value ;;
        no-index=*) no_index=$value ;;
        pre=*) pre=$value ;;
        extra-index-url=* | constraint=*) unclear "${setting%%=*}" ;;
    esac
done
! is_on "${no_index:-0}" || unclear no-index
! is_on "${pre:-0}" || unclear pre
# Folders of find-links count only if they have files of a package.
found=''
for link in $(printf '%s\n' "$links" | tr ' ' '\n'); do
    link=${link#file://}
    case $link in [~]/*) link=$HOME/${link#??} ;; /*) ;; *) unclear find-links ;; esac
    [ ! -e "$link" ] || found="$found
$(find -L "$link" -maxdepth 1 -type f | sed 's,.*/,,' | tr '[:upper:]_.' '[:lower:]--')"
done
for line in $plan; do
    package=$(package "$line" | tr '[:upper:]_.' '[:lower:]--')
    ! printf '%s\n' "$found" | grep -q "^$package-[0-9]" || unclear find-links
done
if [ "$index" ]; then :
elif command -v uv >/dev/null; then uv_index
else index=https://pypi.org/simple; fi
list_python "$LIB_DIR/pip"
