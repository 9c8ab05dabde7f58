# shellcheck shell=sh disable=SC2034,SC2154
# The code of a hook that reads the settings of pip.
# Runs python3 in `/`: the python3 of a version manager is the one that a file in a folder above states.
base_python() { (cd / && python3 "$@"); }
# Returns whether a switch is on, in one of the ways in which pip writes it.
is_on() { case $1 in 0 | [fFnN]* | [oO][fF]*) return 1 ;; esac; }
# Sets settings to those of pip. hook begin sets it to lines such as INDEX_URL=index-url=https://example.org/simple. pip itself
# merges its files and variables, but starting it takes longer than the rest of a hook. So it is asked only if a file,
# must_ask, is not simple. Sets unread to that file if there is no pip, and fails if pip refuses it.
ask_pip_settings() {
    unread=
    [ "$must_ask" ] || return 0
    settings=$(export PIP_QUIET=0 && base_python -m pip config list 2>pip.err) || {
        # pip quotes the file that it cannot read, in which there may be passwords.
        ! command -v python3 >/dev/null || grep -q 'No module named pip' pip.err ||
            fail "cannot read pip's settings$(sed -n "s/.*'\(\/[^']*\)'.*/: \1 is not valid/p" pip.err | head -n 1); see python3 -m pip config list"
        unread=$must_ask
    }
    settings=$(for section in global install :env:; do
        printf '%s\n' "$settings" |
            sed -nE "/^$section\.[a-z0-9-]+=.../{ s/^$section\.//; s/=./=/; s/.\$//; s/(\\\\[nt]| )+/ /g; s/= /=/; h; s/=.*//
                y/abcdefghijklmnopqrstuvwxyz-/ABCDEFGHIJKLMNOPQRSTUVWXYZ_/; G; s/\n/=/; p; }"
    done)
}
