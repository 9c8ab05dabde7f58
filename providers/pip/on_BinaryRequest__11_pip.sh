#!/bin/sh
# pip: installs Python packages from PyPI, or from the indexes in pip's settings, with uv if it is on PATH, otherwise
# with pip.
# Each requirement has a venv of its own, LIB_DIR/pip/<name>, unless overrides.pip.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider pip -- "$@")"
check_wheels
# Variables that choose another Python or its modules, and one of rigup, which pip would take for a setting.
unset PIP_ENABLED PIP_PYTHON PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR

# Prints the settings in a file of pip as pip does: global.index-url='https://example.org/simple'. Fails if the file has
# anything but sections, comments and settings of one line.
read_settings() {
    section=''
    while IFS= read -r line || [ "$line" ]; do
        case $line in
            '' | [#\;]*) continue ;;
            '['*']') section=${line#?} && section=${section%?} && continue ;;
            *\\* | *[[:cntrl:]]*) return 1 ;;
            [a-z]*=*) key=${line%%=*} value=${line#*=} ;;
            *) return 1 ;;
        esac
        key=${key%"${key##*[! ]}"} value=${value#"${value%%[! ]*}"} value=${value%"${value##*[! ]}"}
        case $section/$key in /* | */*[!a-z0-9-]*) return 1 ;; esac
        printf "%s.%s='%s'\n" "$section" "$key" "$value"
    done <"$1"
}
# Sets `files` to the files that may have settings, the last of which takes precedence: those of the system, of the user and of
# the python3 on PATH.
list_settings_files() {
    files=''
    [ "${PIP_CONFIG_FILE-}" != /dev/null ] || return 0
    IFS=:
    for folder in ${XDG_CONFIG_DIRS:-/etc/xdg}; do files="$files$folder/pip/pip.conf
"; done
    IFS='
'
    files="$files/Library/Application Support/pip/pip.conf
/etc/pip.conf"
    [ -e "${PIP_CONFIG_FILE-}" ] || files="$files
$HOME/.pip/pip.conf
${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf
$HOME/Library/Application Support/pip/pip.conf"
    python=$(command -v python3) || :
    case $python in */bin/*)
        # That of a link which is not in a venv is beside the Python that it leads to.
        if [ -L "$python" ] && [ "$python" != /usr/bin/python3 ] && [ ! -e "${python%/bin/*}/pyvenv.cfg" ]; then
            python=$(readlink -f "$python")
        fi
        files="$files
${python%/bin/*}/pip.conf" ;;
    esac
    files="$files
${PIP_CONFIG_FILE-}"
}
# pip itself merges its files and variables, but starting it takes longer than the rest of this hook. So it is asked only if a
# file is not simple.
unread='' settings='' own_index='' must_ask=''
list_settings_files
for file in $files; do
    [ -f "$file" ] || continue
    more=$(read_settings "$file") || { must_ask=$file && break; }
    settings="$settings
$more"
done
if [ "$must_ask" ]; then
    settings=$(export PIP_QUIET=0 && base_python -m pip config list 2>pip.err) || {
        # pip quotes the file that it cannot read, in which there may be passwords.
        ! command -v python3 >/dev/null || grep -q 'No module named pip' pip.err ||
            fail "cannot read pip's settings$(sed -n "s/.*'\(\/[^']*\)'.*/: \1 is not valid/p" pip.err | head -n 1); see python3 -m pip config list"
        unread=$must_ask
    }
else
    case $(export -p) in
        *PIP_*) more=$(awk 'BEGIN {
            for (variable in ENVIRON) if (variable ~ /^PIP_./ && ENVIRON[variable] != "") {
                key = tolower(substr(variable, 5)); gsub(/_/, "-", key)
                value = ENVIRON[variable]; gsub(/[[:space:]]+/, " ", value)
                print ":env:." key "='\''" value "'\''"
            } }')
            settings="$settings
$more" ;;
    esac
fi
# If they choose an index, none in the settings of uv is added to it.
case $settings in *index*) own_index=$(printf '%s\n' "$settings" | grep -E "^(global|install|:env:)\.((extra-)?index-url|no-index)=...") || : ;; esac
! command -v uv >/dev/null || filter_uv_settings ${own_index:+without-indexes}
# They become variables of pip, and of uv if it has such a setting, except for those that would install elsewhere, for
# another Python or without dependencies.
only_pip='' no_index='' no_age='' sections="global
install
:env:"
is_on() { case $1 in 0 | [fFnN]* | [oO][fF]*) return 1 ;; esac; }
[ "$settings" ] || sections=
for section in $sections; do
    case $settings in *"$section".*) ;; *) continue ;; esac
    for setting in $(printf '%s\n' "$settings" |
        sed -nE "/^$section\.[a-z0-9-]+=.../{ s/^$section\.//; s/=./=/; s/.\$//; s/(\\\\[nt]| )+/ /g; s/= /=/; h; s/=.*//
            y/abcdefghijklmnopqrstuvwxyz-/ABCDEFGHIJKLMNOPQRSTUVWXYZ_/; G; s/\n/=/; p; }"); do
        variable=PIP_${setting%%=*} setting=${setting#*=} key=${setting%%=*} value=${setting#*=}
        case $key in *constraint | find-links) check_paths "pip's setting $key" "$value" ;; esac
        export "$variable=$value"
        case $key in
            abi | dry-run | editable | implementation | no-dep* | platform | prefix | python | python-version | quiet | \
                report | requirement | root | target | user) unset "$variable" ;;
            index-url) export UV_DEFAULT_INDEX="$value" UV_INDEX_URL="$value" ;;
            extra-index-url)
                # Like pip, uv chooses the newest release of all indexes, and that of the last one if several have it.
                value=$(echo "$value" | awk '{ for (i = NF; i > 1; i--) printf "%s ", $i; print $1 }')
                export UV_INDEX="$value" UV_EXTRA_INDEX_URL="$value" UV_INDEX_STRATEGY=unsafe-best-match ;;
            find-links)
                # uv does not ignore a folder that does not exist, and does not expand ~.
                links=''
                for link in $(echo "$value" | tr ' ' '\n'); do
                    case $link in [~]/*) link=$HOME${link#?} ;; esac
                    path=${link#file://}
                    case $path in *%*) ;; /*) [ -e "$path" ] || continue ;; esac
                    links=$links${links:+,}$link
                done
                export UV_FIND_LINKS="$links" ;;
            no-index) if is_on "$value"; then no_index=--no-index; else no_index=; fi ;;
            constraint) export UV_CONSTRAINT="$value" ;;
            trusted-host) export UV_INSECURE_HOST="$value" ;;
            cert) if [ -f "$value" ]; then export SSL_CERT_FILE="$value"; else only_pip=cert; fi ;;
            proxy) export ALL_PROXY="$value" HTTP_PROXY="$value" HTTPS_PROXY="$value" ;;
            *timeout | retries | *cache* | config-file | *compile | *disable* | *clean | *color | exists-action | \
                *force* | ignore-installed | log | *warn* | no-input | *progress* | require-virtualenv | root-* | \
                break-* | require-hashes | upgrade | verbose) ;;
            *) only_pip=$key ;;
        esac
    done
done
! is_on "${PIP_REQUIRE_HASHES:-0}" ||
    decline "pip's setting require-hashes allows only packages with a hash, and a requirement cannot state a hash"
export PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off

if command -v uv >/dev/null && [ -z "$only_pip" ]; then
    [ -z "$unread" ] ||
        decline "python3 has no pip, which must read its settings ($unread); install it with \`apt-get install python3-pip\`"
    use_uv $no_index
else
    or_uv=", or put uv on PATH" with_uv="install uv, which can: \`rigup install uv --binproviders pip\`"
    if [ "$only_pip" ]; then
        or_uv=", because uv has no setting like pip's $only_pip" with_uv="use pip 26 or later$or_uv"
    elif [ "$must_keep_age" ]; then with_uv="${with_uv%\`} --min-release-age 0\`"
    fi
    case $* in *--pays-from=*) [ -z "$only_pip" ] || decline "uv would not be used$or_uv" ;; esac
    needs python3 "install it with \`apt-get install python3 python3-pip\`$or_uv"
    pip=$(base_python -c 'import venv, pip
print(pip.__version__.split(".")[0], pip.__path__[0] + "/__pip-runner__.py")' 2>/dev/null) || pip=0
    runner=${pip#* } pip=${pip%% *}
    [ "$pip" -gt 22 ] ||
        decline "python3 has no venv or no pip >= 23; install them with \`apt-get install python3-venv python3-pip\`$or_uv"
    if [ "$released_before" ] && [ "$pip" -lt 26 ]; then
        no_age="pip $pip cannot enforce min_release_age"
        [ -z "$must_keep_age" ] || fail "$no_age; $with_uv"
        unenforced=min_release_age
    fi
    use_pip "$runner"
fi

fill_venv pip
"$RIGUP" hook binary --provider pip --built "$venv" --relocate --abspath "$prefix/bin/$name" \
    ${unenforced:+"--unenforced=$unenforced"} -- "$@"
if [ "$no_age" ] && once "pip-$pip"; then warn "$no_age and installs the newest releases; $with_uv"; fi
