#!/bin/sh
# pip: lists the versions of Python packages on PyPI, or on the index that the settings of pip name, or those of uv if it is
# on PATH and pip has none.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider pip --versions)"
# The files that pip reads, the last of which takes precedence. Starting pip to read them would take longer than all else.
python=$(command -v python3) || python=
case $python in
    */shims/*) prefix=$(cd / && "$python" -ISc 'import sys; print(sys.prefix)') ;;
    *) prefix=${python%/bin/python3} ;;
esac
user="$HOME/.pip/pip.conf
$HOME/Library/Application Support/pip/pip.conf
${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf"
[ ! -e "${PIP_CONFIG_FILE:-/dev/null/none}" ] || user=
# shellcheck disable=SC2046,SC2086 # one file a line
files=$(find -L $(printf '%s\n' "${XDG_CONFIG_DIRS:-/etc/xdg}" | tr : '\n' | sed 's,$,/pip/pip.conf,') /etc/pip.conf $user \
    "$prefix/pip.conf" ${PIP_CONFIG_FILE:+"$PIP_CONFIG_FILE"} -maxdepth 0 -type f 2>/dev/null) || :
[ "${PIP_CONFIG_FILE-}" != /dev/null ] || files=
# Variables, the section `install` and the section `global`, in order of precedence: lines like index-url=https://example.org
# shellcheck disable=SC2086 # one file a line
settings=$({
    env | sed -n '/^PIP_[A-Z_]*=./p' | sed 's/^PIP_//; s/^/3 /'
    [ -z "$files" ] || awk '
        /^[[:space:]]*[#;]/ { next }
        /^\[/ { section = substr($0, 2, index($0, "]") - 2); key = ""; next }
        /^[[:space:]]+[^[:space:]]/ && key != "" { sub(/^[[:space:]]+/, ""); value[section, key] = value[section, key] " " $0; next }
        match($0, /[=:]/) {
            key = substr($0, 1, RSTART - 1); text = substr($0, RSTART + 1)
            gsub(/[[:space:]]/, "", key); gsub(/^[[:space:]]+|[[:space:]]+$/, "", text)
            value[section, key] = text
        }
        END {
            for (place in value) {
                split(place, part, SUBSEP); rank = part[1] == "install" ? 2 : part[1] == "global" ? 1 : 0
                if (rank && value[place] != "") print rank " " part[2] "=" value[place]
            }
        }' $files
} | awk '{ rank = $1; line = substr($0, 3); key = tolower(substr(line, 1, index(line, "=") - 1)); gsub(/_/, "-", key)
    if (rank > best[key]) { best[key] = rank; value[key] = substr(line, index(line, "=") + 1) } }
    END { for (key in value) print key "=" value[key] }')

unclear() { decline "pip's setting $1 can change what it installs, so one page does not tell"; }
index='' links=''
for setting in $settings; do
    value=${setting#*=} value=${value# }
    case $setting in
        index-url=*) index=$value ;;
        cert=*) export CURL_CA_BUNDLE="$value" ;;
        proxy=*) export ALL_PROXY="$value" http_proxy="$value" https_proxy="$value" ;;
        find-links=*) links=$value ;;
        no-index=0 | no-index=[fFnN]* | no-index=[oO][fF]* | pre=0 | pre=[fFnN]* | pre=[oO][fF]*) ;;
        extra-index-url=* | no-index=* | constraint=* | pre=*) unclear "${setting%%=*}" ;;
    esac
done
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
