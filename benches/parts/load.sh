# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# Eight rigups at once with one data dir, each with 200 requests for 20 names. There are three providers, whose hooks
# take 0 to 50 ms: the first declines every name, the second installs every other name, and the third installs the rest.
# Compared with a shell that only starts the same 50 hooks: those of one name one after another, and the same number of
# names at a time.

hook() { # NAME NUMBER COMMAND
    mkdir -p "providers/$1"
    cat >"providers/$1/on_BinaryRequest__$2_$1.sh" <<HOOK
#!/bin/sh
name=\${1#--name=} index=\${1#--name=n} index=\${index#0}
sleep "\$(printf 0.%03d \$((index * 50 / 19)))"
$3
HOOK
    chmod +x "providers/$1/on_BinaryRequest__$2_$1.sh"
}
record="printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"\$name\""
hook first 50 :
hook second 51 "[ \$((index % 2)) != 0 ] || $record"
hook third 52 "$record"
for index in $(seq 10); do plugin "p$index" first,second,third $(seq -f n%02g 0 19); done

cat >rigups.sh <<'RIGUPS'
for _ in 1 2 3 4 5 6 7 8; do "$@" >/dev/null 2>&1 & done
wait
[ "$(find "$RIGUP_DATA_DIR"/lib/*/bin -xtype f | wc -l)" = 20 ]
RIGUPS
cat >name.sh <<'NAME'
index=${1#n} index=${index#0}
providers/first/*.sh "--name=$1" && providers/second/*.sh "--name=$1" && [ $((index % 2)) = 0 ] || providers/third/*.sh "--name=$1"
NAME
cat >shell.sh <<'SHELL'
seq -f n%02g 0 19 | xargs -P "$1" -I NAME sh name.sh NAME >/dev/null
SHELL
# Creates a data dir with an empty store.
cat >reset.sh <<'RESET'
rm -rf "$RIGUP_DATA_DIR" && exec "$1" exec -- true
RESET

for jobs in 4 20; do
    measure "$jobs" --prepare "sh reset.sh $rigup" "sh rigups.sh $rigup install -j $jobs" "sh shell.sh $jobs"
    compare "8 at once, 200 requests each for 20 names, -j $jobs" "sh: $jobs names at a time" "$jobs" 1 "ratio 1.5"
done
