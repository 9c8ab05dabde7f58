# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# Twenty programs on PATH, installed for the first time: found, probed, hashed, recorded and linked. Compared with the
# least that a script would do, one program after the other.

read -ra names <<<"$(programs)"
plugin twenty env "${names[@]}"
cat >floor.sh <<'FLOOR'
for name; do
    file=$(command -v "$name")
    "$file" --version </dev/null >/dev/null
    sha256sum "$file" >/dev/null
done
FLOOR
measure cold --prepare "rm -rf $RIGUP_DATA_DIR" "$rigup install" "sh floor.sh ${names[*]}"
tell "cold install of 20 programs on PATH, by env" "sh: command -v, --version, sha256sum" cold 1 "ratio 0.8"
