# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# The peak memory of rigup itself while a hook writes much output, below the output limit. Compared with its peak memory
# while a hook writes nothing.

hook() {
    mkdir -p "plugins/$1"
    printf '#!/bin/sh\n%s\n' "$3" >"plugins/$1/on_$2__1_x.sh"
    chmod +x "plugins/$1/on_$2__1_x.sh"
}
record='{"type":"ArchiveResult","status":"succeeded","output_str":"warc/index.html","bytes":18234}'
hook quiet Quiet 'exec sleep 0.5'
hook lines Lines 'head -c 1000000000 /dev/zero | tr "\0" "x" | fold -w 200'
hook endless Endless 'head -c 1000000000 /dev/zero | tr "\0" "x"'
hook records Records "yes '$record' | head -c 200000000"
hook provider BinaryRequest "yes '{\"type\":\"Binary\",\"name\":\"other\"}' | head -c 200000000"
export RIGUP_OUTPUT_LIMIT=2000
quiet=$(peak "$rigup" run Quiet)
row "memory, while a hook writes 1 GB of lines" "a hook that writes nothing" "$(peak "$rigup" run Lines)" "$quiet" MB "ratio 1.5"
row "memory, 1 GB without a newline" "a hook that writes nothing" "$(peak "$rigup" run Endless)" "$quiet" MB "ratio 1.5"
row "memory, 200 MB of records" "a hook that writes nothing" "$(peak "$rigup" run Records)" "$quiet" MB "ratio 1.5"
row "memory, 200 MB from a provider" "a hook that writes nothing" "$(peak "$rigup" install x --binproviders provider)" "$quiet" MB "ratio 1.5"
