# shellcheck shell=sh disable=SC2034,SC2154
# The code of a hook that installs from a release, after that of every hook with one request.
# Makes the folder $built, unless it is a prefix that contains the same already, with the first of the $candidates that runs
# here, and sets $program, a path in it.
unpack_release() {
    built=''
    while IFS= read -r candidate <&3; do
        make_part
        built=''
        eval "$("$RIGUP" hook download "$candidate" "$part/download" ${release:+--release "$release"})"
        [ "$built" ] || { built=$part/files && "$RIGUP" hook unpack "$file" "$built"; } || exit
        program=$("$RIGUP" hook program "$built" --name "$name" ${bin:+--bin "$bin"} --provider "$provider") || exit
        program=${program#"$built"/}
        "$RIGUP" hook startable "$built/$program" && return
    done 3<<CANDIDATES
$candidates
CANDIDATES
    exit 1
}
