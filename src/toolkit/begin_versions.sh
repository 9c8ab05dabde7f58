# shellcheck shell=sh disable=SC2154
# The code of a hook that lists versions, after that of a batch hook.
# Prints the name of the package in a line of the plan.
package() { printf '%s\n' "${1#*"$tab"}"; }
# Prints a line for hook versions: the name in a line $1 of the plan, the URL $2, and the headers after it.
page() { printf '%s' "${1%%"$tab"*}" && shift && printf '\t%s' "$@" && echo; }
# Lists the packages of the plan from the lines on stdin, each of which has a package and a version. $1 is the start of the
# reason for a package without a line.
list_lines() {
    listed=$(cat)
    exec 3>&1
    pages=$PWD/pages.$$
    mkdir "$pages" && trap 'rm -rf "$pages"' EXIT
    number=0
    for line in $plan; do
        number=$((number + 1))
        printf '%s\n' "$listed" | awk -v package="$(package "$line")" '$1 == package { print $2 }' >"$pages/$number"
        if [ -s "$pages/$number" ]; then page "$line" "file://$pages/$number"
        else failure "$line" "$1 $(package "$line")" >&3; fi
    done | "$RIGUP" hook versions --registry lines
}
# Sets index to the one that uv's settings name. Declines if one page of it does not say what uv installs.
uv_index() {
    unclear() { decline "uv's setting $1 can change what it installs, so one page does not tell"; }
    for variable in CONSTRAINT EXCLUDE_NEWER EXTRA_INDEX_URL FIND_LINKS INDEX NO_INDEX OFFLINE OVERRIDE PRERELEASE RESOLUTION; do
        eval "value=\${UV_$variable-}"
        [ -z "$value" ] || unclear "UV_$variable"
    done
    index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-https://pypi.org/simple}}
    uv_files
    keys='constraint-dependencies exclude-newer extra-index-url find-links no-index offline override-dependencies prerelease resolution'
    if [ -e "$user" ] || [ -e "$system" ]; then
        settings=$("$RIGUP" hook toml --keys "$(printf '%s index-url index.url index.default index.explicit' "$keys" |
            sed 's/[^ ]*/& pip.&/g')" ${user:+"$user"} ${system:+"$system"}) || exit 1
        limit=$(printf '%s\n' "$settings" | grep -oE "^($(echo "$keys" | tr ' ' '|')) " | head -n 1) || :
        [ -z "$limit" ] || unclear "${limit% }"
        urls=$(printf '%s\n' "$settings" | sed -n 's/^\(index-\)\{0,1\}url = "\(.*\)"$/\2/p')
        case $(printf '%s\n' "$settings" | grep -cE '^(index-)?url = ') in
            0) ;;
            1) printf '%s\n' "$settings" | grep -qE '^(index-url|default = true)' || unclear index
                index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$urls}} ;;
            *) unclear index ;;
        esac
    fi
}
# Lists the packages of the plan, which are those of Python, from the index $index. $1 is the folder of the venvs: if all of
# them have the same Python, packages must support it. Only the requests of $builders may build packages.
list_python() {
    python=$(set +f && cat "$1"/*/pyvenv.cfg 2>/dev/null | sed -n 's/^version\(_info\)\{0,1\} = \([0-9.]*\).*/\2/p' | sort -u)
    case $python in *[!0-9.]*) python= ;; esac
    python_pages '' | "$RIGUP" hook versions --registry pypi --wheels ${python:+"--python=$python"}
    [ -z "$builders" ] || python_pages yes | "$RIGUP" hook versions --registry pypi ${python:+"--python=$python"}
}
# Prints the pages of the lines whose requests may build packages if $1 is not empty, and those of the others if it is.
python_pages() {
    for line in $plan; do
        case $IFS$builders$IFS in *"$IFS$(name "$line")$IFS"*) may_build=yes ;; *) may_build='' ;; esac
        [ "$may_build" = "$1" ] || continue
        name=$(package "$line" | tr '[:upper:]_.' '[:lower:]--' | tr -s -)
        page "$line" "${index%/}/$name/" 'Accept: application/vnd.pypi.simple.v1+json'
    done
}
# Lists the packages of the plan, which are those of Node, from the registries that npm's settings name: variables, and the
# files $@, the last of which takes precedence. Credentials reach curl only through pipes.
list_node() {
    settings=$({ cat "$@" 2>/dev/null || :; env | sed -n 's/^[nN][pP][mM]_[cC][oO][nN][fF][iI][gG]_/=/p'; } | awk '
        function expanded(text, all, name) {
            while (match(text, /\$\{[^}]*\}/)) {
                name = substr(text, RSTART + 2, RLENGTH - 3)
                all = all substr(text, 1, RSTART - 1) (name in ENVIRON ? ENVIRON[name] : "")
                text = substr(text, RSTART + RLENGTH)
            }
            return all text
        }
        /^[[:space:]]*([;#]|$)/ { next }
        {
            is_variable = sub(/^=/, ""); at = index($0, "=")
            if (!at) next
            key = substr($0, 1, at - 1); value = substr($0, at + 1)
            gsub(/[[:space:]"]/, "", key); gsub(/^[[:space:]"]+|[[:space:]"]+$/, "", value)
            if (is_variable && key !~ /^\/\//) { key = tolower(key); gsub(/_/, "-", key) }
            if (value != "") values[expanded(key)] = expanded(value)
        }
        END { for (key in values) print key "\t" values[key] }')
    of_setting() { printf '%s\n' "$settings" | sed -n "s/^$1$tab//p"; }
    for key in before min-release-age tag; do
        [ -z "$(of_setting "$key")" ] || decline "npm's setting $key chooses the version"
    done
    file=$(of_setting cafile) proxy=$(of_setting https-proxy)
    [ -z "$file" ] || export CURL_CA_BUNDLE="$file"
    proxy=${proxy:-$(of_setting proxy)}
    [ -z "$proxy" ] || export https_proxy="$proxy" http_proxy="$proxy"
    printf '%s\n' "$settings" '' "$plan" | awk -F '\t' '
        /^$/ { is_plan = 1; next }
        !is_plan { values[$1] = $2; next }
        {
            package = $2; scope = package; sub(/\/.*/, "", scope)
            base = package ~ /^@/ ? values[scope ":registry"] : ""
            if (base == "") base = values["registry"]
            if (base == "") base = "https://registry.npmjs.org"
            sub(/\/*$/, "/", base); sub(/\//, "%2f", package)
            # The credentials of the longest part of the address that has some.
            place = base; sub(/^[a-z]+:/, "", place); header = ""
            while (length(place) > 2 && header == "") {
                if (values[place ":_authToken"] != "") header = "\tAuthorization: Bearer " values[place ":_authToken"]
                else if (values[place ":_auth"] != "") header = "\tAuthorization: Basic " values[place ":_auth"]
                sub(/[^\/]*\/?$/, "", place)
            }
            print $1 "\t" base package header
        }' | "$RIGUP" hook versions --registry npm
}
