# shellcheck shell=bash
# shellcheck disable=SC2154 # variables that compare.sh sets
# 200 hooks that do nothing, each with a run dir, two logs and a record. Compared with a shell loop that starts the same
# files, and with two hook runners.

mkdir -p plugins/noop
for n in $(seq 200); do
    printf '#!/bin/sh\n' >"plugins/noop/on_Noop__${n}_noop.sh"
    chmod +x "plugins/noop/on_Noop__${n}_noop.sh"
done
cat >loop.sh <<'LOOP'
out=out.$$
mkdir "$out"
for hook in plugins/noop/*.sh; do "./$hook" >"$out/${hook##*/}.out" 2>"$out/${hook##*/}.err"; done
LOOP
{
    printf 'repos:\n  - repo: local\n    hooks:\n'
    for hook in plugins/noop/*.sh; do
        name=${hook##*/}
        printf '      - {id: %s, name: %s, entry: ./%s, language: system, always_run: true, pass_filenames: false}\n' \
            "$name" "$name" "$hook"
    done
} >.pre-commit-config.yaml
export PREK_HOME=$PWD/prek PRE_COMMIT_HOME=$PWD/pre-commit GIT_CONFIG_GLOBAL=/dev/null
git init --quiet . && git add .pre-commit-config.yaml

commands=("$rigup run Noop" "sh loop.sh")
baselines=("a shell loop")
targets=("ratio 1.2")
if prek=$(from_pypi prek prek 3.9); then
    version prek "$prek" --version
    commands+=("$prek run --all-files")
    baselines+=(prek)
    targets+=("ratio 1.0")
else
    skip "200 no-op hooks, by prek" "$prek"
fi
if pre_commit=$(from_pypi pre-commit pre-commit 3.10); then
    version pre-commit "$pre_commit" --version
    commands+=("$pre_commit run --all-files")
    baselines+=(pre-commit)
    targets+=("ratio 1.0")
else
    skip "200 no-op hooks, by pre-commit" "$pre_commit"
fi
measure hooks "${commands[@]}"
for index in "${!baselines[@]}"; do
    compare "200 no-op hooks" "${baselines[index]}" hooks $((index + 1)) "${targets[index]}"
done
compare_static "200 no-op hooks" run Noop
