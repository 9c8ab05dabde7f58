# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# The first install of twenty programs on PATH: rigup finds, probes, hashes, records and links them. Compared with the
# minimum that a script would do, one program after another.

read -ra names <<<"$(programs)"
plugin twenty env "${names[@]}"
cat >minimum.sh <<'MINIMUM'
for name; do
    file=$(command -v "$name")
    "$file" --version </dev/null >/dev/null
    sha256sum "$file" >/dev/null
done
MINIMUM
measure cold --prepare "rm -rf $RIGUP_DATA_DIR" "$rigup install" "sh minimum.sh ${names[*]}"
compare "cold install of 20 programs on PATH, by env" "sh: command -v, --version, sha256sum" cold 1 "ratio 0.8"
