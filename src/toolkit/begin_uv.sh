# shellcheck shell=sh disable=SC2034
# The code of a hook that reads the settings of uv.
# Sets user and system to the files that uv reads: the one that UV_CONFIG_FILE names, or that of the user and the first one of
# the system. Either is empty if there is none.
uv_files() {
    user=${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml system=
    old_ifs=$IFS IFS=:
    for folder in ${XDG_CONFIG_DIRS:-/etc/xdg} /etc; do
        [ "$system" ] || [ ! -e "$folder/uv/uv.toml" ] || system=$folder/uv/uv.toml
    done
    IFS=$old_ifs
    [ -e "$user" ] || user=
    if [ "${UV_CONFIG_FILE-}" ]; then
        [ -e "$UV_CONFIG_FILE" ] || fail "UV_CONFIG_FILE names $UV_CONFIG_FILE, which does not exist"
        user=$UV_CONFIG_FILE system=
    elif [ "${UV_NO_CONFIG-}" ]; then
        case $UV_NO_CONFIG in 0 | [fFnN]* | [oO][fF]*) ;; *) user='' system='' ;; esac
    fi
}
