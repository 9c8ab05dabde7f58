# shellcheck shell=sh disable=SC2154
# The code of a batch hook, after its variables and the code of every hook.
tab=$(printf '\t')
# Prints the name in a line of the plan.
name() { printf '%s\n' "${1%%"$tab"*}"; }
# Prints the packages and options in a line of the plan, one per line.
packages() { printf '%s\n' "$1" | cut -f 2- | tr '\t' '\n'; }
# Prints the record of a request that was not satisfied: its line of the plan, perhaps --declined, and the reason.
failure() { "$RIGUP" hook failure --name "$(name "$1")" "$2" ${3+"$3"}; }
# Runs a command as root. Hooks read its messages, which LANGUAGE translates even if LC_ALL is set.
as_root() {
    set -- env -u TMPDIR LC_ALL=C.UTF-8 LANGUAGE= "$@"
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
needs_root() { as_root true 2>/dev/null || decline "$1 needs root; run rigup as root, or allow sudo without a password"; }
update_error=''
decline_unknown() {
    if [ "$update_error" ]; then failure "$1" "cannot update the package lists, which have no package named $2: $update_error"
    else
        case $2 in
        *=*) failure "$1" --declined "$provider has no version ${2#*=} of ${2%%=*}" ;;
        *) failure "$1" --declined "$provider has no package named $2; check the name, or set overrides.$provider.packages" ;;
        esac
    fi
}
# Installs the packages of the lines $1 with the hook's function `install`: all at once; if that fails, without the lines
# with a package that the hook's function `unknown` prints; and if that fails, one line at a time.
# shellcheck disable=SC2046 # one package a line
install_all() {
    { [ "$1" ] && ! install $(packages "$1"); } || return 0
    unknown=$(unknown) known='' alone=''
    for line in $1; do
        missing=$(packages "$line" | sed 'p; s/=.*//' | grep -Fx "$unknown" | sort -u | paste -sd ' ' -) || :
        if [ "$unknown" ] && [ "$missing" ]; then decline_unknown "$line" "$missing"
        else known="$known$line$IFS"; fi
    done
    if [ -z "$unknown" ] || { [ "$known" ] && ! install $(packages "$known"); }; then alone=$known; fi
    for line in $alone; do install $(packages "$line") || failure "$line" "$(reason)"; done
}
