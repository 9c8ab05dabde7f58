#!/bin/sh
# pip: installs Python packages from PyPI, or from the indexes in pip's settings, with uv if it is on PATH, otherwise
# with pip.
# Each requirement has a venv of its own, LIB_DIR/pip/<name>, unless overrides.pip.install_root names another.
# shellcheck disable=SC2034,SC2154 # hook begin sets name, prefix, packages and the like, and its functions use unenforced
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider pip -- "$@")}"
check_wheels
# Variables that choose another Python or its modules, and one of rigup, which pip would take for a setting.
unset PIP_ENABLED PIP_PYTHON PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR

ask_pip_settings
# If they choose an index, none in the settings of uv is added to it.
own_index=
case $IFS$settings in *"$IFS"INDEX_URL=* | *"$IFS"EXTRA_INDEX_URL=* | *"$IFS"NO_INDEX=*) own_index=yes ;; esac
! command -v uv >/dev/null || filter_uv_settings ${own_index:+without-indexes}
uv_settings=${UV_CONFIG_FILE-}${UV_DEFAULT_INDEX-}${UV_INDEX-}${UV_INDEX_URL-}${UV_EXTRA_INDEX_URL-}${UV_FIND_LINKS-}\
${UV_NO_INDEX-}${UV_CONSTRAINT-}${UV_EXCLUDE-}${UV_OVERRIDE-}${UV_PRERELEASE-}${UV_RESOLUTION-}
# They become variables of pip, and of uv if it has such a setting, except for those that would install elsewhere, for
# another Python or without dependencies.
only_pip='' no_index='' no_age=''
for setting in $settings; do
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
! is_on "${PIP_REQUIRE_HASHES:-0}" ||
    decline_request "pip's setting require-hashes allows only packages with a hash, and a requirement cannot state a hash"
export PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off

# Sets pip to the version of pip, and runner to the file that runs it. Fails if there is none that can install into a venv.
find_pip() {
    pip=$(base_python -c 'import venv, pip
print(pip.__version__.split(".")[0], pip.__path__[0] + "/__pip-runner__.py")' 2>/dev/null) || pip=0
    runner=${pip#* } pip=${pip%% *}
    [ "$pip" -gt 22 ] || return
    if [ "$released_before" ] && [ "$pip" -lt 26 ]; then no_age="pip $pip cannot enforce min_release_age"; fi
}
# Makes fill_venv use pip if uv has failed. Settings that only uv has may choose other packages.
replace_uv() {
    if [ "$is_pip" ] || [ "$uv_settings" ] || ! find_pip; then return 1; fi
    if [ "$no_age" ] && [ "$must_keep_age" ]; then return 1; fi
    printf 'uv failed (exit code %s), so pip is tried\n' "$code" >&2
    with_uv='uv, which can, failed' && use_pip "$runner"
}
if command -v uv >/dev/null && [ -z "$only_pip" ]; then
    [ -z "$unread" ] ||
        decline "python3 has no pip, which must read its settings ($unread); install it with \`apt-get install python3-pip\`"
    is_pip='' && use_uv $no_index
else
    or_uv=", or put uv on PATH" with_uv="install uv, which can: \`rigup install uv --binproviders pip\`"
    if [ "$only_pip" ]; then
        or_uv=", because uv has no setting like pip's $only_pip" with_uv="use pip 26 or later$or_uv"
    elif [ "$must_keep_age" ]; then with_uv="${with_uv%\`} --min-release-age 0\`"
    fi
    case $* in *--pays-from=*) [ -z "$only_pip" ] || decline "uv would not be used$or_uv" ;; esac
    needs python3 "install it with \`apt-get install python3 python3-pip\`$or_uv"
    find_pip ||
        decline "python3 has no venv or no pip >= 23; install them with \`apt-get install python3-venv python3-pip\`$or_uv"
    [ -z "$no_age" ] || [ -z "$must_keep_age" ] || fail "$no_age; $with_uv"
    is_pip=yes && use_pip "$runner"
fi

fill_venv pip replace_uv
[ -z "$no_age" ] || unenforced=min_release_age
put_in_place "$venv" "bin/$name" "$@"
if [ "$no_age" ] && once "pip-$pip"; then warn "$no_age and installs the newest releases; $with_uv"; fi
