#!/bin/sh
# git: clones the repository at --url, and skips any other address.
set -eu

url=
for argument; do case $argument in --url=*) url=${argument#--url=} ;; esac; done
[ -n "$url" ] || { echo "cannot clone a repository: no --url" >&2; exit 1; }
case $url in
-*) echo "$url is not the address of a repository" >&2; exit 10 ;;
git://* | ssh://* | git@*:* | http://*.git | https://*.git | file://*.git) ;;
https://github.com/*/* | https://gitlab.com/*/* | https://codeberg.org/*/*) ;;
*) echo "$url is not the address of a repository" >&2; exit 10 ;;
esac

# Git must not prompt for a password, because no one would see the prompt, or run maintenance in the background.
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="ssh -oBatchMode=yes"
git() { command git -c core.hooksPath=/dev/null -c maintenance.auto=false -c gc.auto=0 "$@"; }
if [ ! -d repository/.git ]; then
    git clone --quiet -- "$url" repository >&2
elif [ "$(git -C repository remote get-url origin)" = "$url" ]; then
    git -C repository pull --quiet --ff-only >&2
else
    echo "cannot update $PWD/repository: it is a clone of another repository" >&2
    exit 1
fi
commit=$(git -C repository rev-parse --quiet --verify HEAD) || commit= # an empty repository has none
printf '{"type":"ArchiveResult","status":"succeeded","output_str":"repository","commit":"%s"}\n' "$commit"
