# shellcheck shell=sh
# The code of a batch hook, after its variables and the code of every hook.
tab=$(printf '\t')
# Prints the name in a line of the plan.
name() { printf '%s\n' "${1%%"$tab"*}"; }
# Prints the packages and options in a line of the plan, one per line.
packages() { printf '%s\n' "$1" | cut -f 2- | tr '\t' '\n'; }
# Prints the record of a request that was not satisfied: its line of the plan, perhaps --declined, and the reason.
failure() { "$RIGUP" hook failure --name "$(name "$1")" "$2" ${3+"$3"}; }
