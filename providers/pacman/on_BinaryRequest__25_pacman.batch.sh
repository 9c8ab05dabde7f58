#!/bin/sh
# pacman: installs packages of Arch Linux and its derivatives with pacman, as root or with `sudo -n`. All packages are
# installed in one transaction, and one request at a time if that fails. Packages are installed system-wide. The package
# lists are fetched only if they are missing: with newer lists, pacman would install libraries that other programs on this
# system cannot use.
# shellcheck disable=SC2034,SC2154 # hook begin sets requests and plan, and its functions read update_error
set -euf
IFS='
'
eval "$("$RIGUP" hook begin --provider pacman --batch)"
needs pacman
needs_root pacman
repositories=$(pacman-conf --repo-list)
[ "$repositories" ] || decline "pacman has no repositories; add one to /etc/pacman.conf"

log=$PWD/pacman.log
pacman_sync() { logged as_root pacman --noconfirm --noprogressbar -S "$@"; }
install() { pacman_sync --needed "$@"; }
unknown() { sed -n 's/^error: target not found: //p' "$log"; }
reason() {
    reason=$(sed -n 's/^warning: \(cannot resolve .*\)/\1/p; s/^error: //p' "$log" | head -n 1)
    case $reason in
    'failed retrieving file '*) reason="$reason; if the server no longer has the file, run \`pacman -Syu\`" ;;
    *'unable to lock database'*) reason="$reason; if no pacman is running, remove $(pacman-conf DBPath)db.lck" ;;
    esac
    echo "${reason:-$(tail -n 1 "$log")}"
}
lists=$(pacman-conf DBPath)sync
for repository in $repositories; do
    [ -e "$lists/$repository.db" ] || { pacman_sync -y || update_error=$(reason); break; }
done

# pacman also takes groups. It counts a package as installed even if its program is missing or damaged.
name_pattern='([A-Za-z0-9._-]+/)?[A-Za-z0-9@_+][A-Za-z0-9@._+-]*(<?=[A-Za-z0-9._+:~-]+)?'
is_damaged() {
    name=$1 && shift
    { pacman --query --check "$@"; pacman --query --check --check "$@"; } 2>&1 | grep -q "bin/$name ("
}
damaged='' together=''
for line in $plan; do
    odd=$(packages "$line" | grep -vxE "$name_pattern") || :
    # shellcheck disable=SC2046 # one package a line
    if [ "$odd" ]; then failure "$line" --declined "$odd is not the name of a package of pacman"
    elif is_damaged "$(name "$line")" $(packages "$line" | sed 's/.*\///; s/[<=].*//'); then damaged="$damaged$line$IFS"
    else together="$together$line$IFS"; fi
done
install_all "$together"
# shellcheck disable=SC2046 # one package a line
for line in $damaged; do pacman_sync $(packages "$line") || failure "$line" "$(reason)"; done

printf '%s\n' "$requests" |
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$RIGUP" hook binary --provider pacman --batch --list-files 'pacman -Qlq'
