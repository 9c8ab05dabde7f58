# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# What a shell waits for after Tab, with the record of one binary, and with 1,000 plugins. Compared with a rigup command
# that reads nothing.

ask() { echo "env RIGUP_COMPLETE=fish $rigup -- rigup $*"; }
"$rigup" --quiet load sh >/dev/null
baseline="env $rigup --version"
measure few "$(ask which s)" "$baseline"
compare "completion of a name" "rigup --version" few 1 "below 5"
for n in $(seq 1000); do plugin "plugin$n" env,apt "tool$n"; done
measure many "$(ask install tool9)" "$baseline"
compare "completion of a name with 1,000 plugins" "rigup --version" many 1 "below 25"
