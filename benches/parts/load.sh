# shellcheck shell=bash
# shellcheck disable=SC2154 # what compare.sh has set
# Eight rigups at once over one data dir, each with 200 requests for 20 names. Three providers, whose hooks take 0 to
# 50 ms: the first declines all, the second has every other name, the third the rest. The ideal is a shell that starts
# the same 50 hooks, those of a name one after the other, as many names at once, and does nothing besides.

hook() { # NAME NUMBER WHAT-IT-PRINTS
    mkdir -p "providers/$1"
    cat >"providers/$1/on_BinaryRequest__$2_$1.sh" <<HOOK
#!/bin/sh
name=\${1#--name=} at=\${1#--name=n} at=\${at#0}
sleep "\$(printf 0.%03d \$((at * 50 / 19)))"
$3
HOOK
    chmod +x "providers/$1/on_BinaryRequest__$2_$1.sh"
}
record="printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"\$name\""
hook first 50 :
hook second 51 "[ \$((at % 2)) != 0 ] || $record"
hook third 52 "$record"
for at in $(seq 10); do plugin "p$at" first,second,third $(seq -f n%02g 0 19); done

cat >eight.sh <<'EIGHT'
for _ in 1 2 3 4 5 6 7 8; do "$@" >/dev/null 2>&1 & done
wait
[ "$(find "$RIGUP_DATA_DIR"/lib/*/bin -xtype f | wc -l)" = 20 ]
EIGHT
cat >name.sh <<'NAME'
at=${1#n} at=${at#0}
providers/first/*.sh "--name=$1" && providers/second/*.sh "--name=$1" && [ $((at % 2)) = 0 ] || providers/third/*.sh "--name=$1"
NAME
cat >ideal.sh <<'IDEAL'
seq -f n%02g 0 19 | xargs -P "$1" -I NAME sh name.sh NAME >/dev/null
IDEAL
# A data dir with a store, and nothing in it.
cat >fresh.sh <<'FRESH'
rm -rf "$RIGUP_DATA_DIR" && exec "$1" exec -- true
FRESH

for lanes in 4 20; do
    measure "$lanes" --prepare "sh fresh.sh $rigup" "sh eight.sh $rigup install -j $lanes" "sh ideal.sh $lanes"
    tell "8 at once, 200 requests each for 20 names, -j $lanes" "sh: $lanes names at a time" "$lanes" 1 "ratio 1.5"
done
