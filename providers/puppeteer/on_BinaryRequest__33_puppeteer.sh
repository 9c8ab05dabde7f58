#!/bin/sh
# puppeteer: installs a browser with @puppeteer/browsers: chrome, chrome@stable, chrome@156.0.8078.47 and the like.
# PUPPETEER_DOWNLOAD_BASE_URL, or for example PUPPETEER_CHROME_DOWNLOAD_BASE_URL, names another host.
# Each version has a folder of its own, LIB_DIR/puppeteer/chrome-156.0.8078.47.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider puppeteer -- "$@")}"
one_package
browser=$package
kind=${browser%%@*}
case $kind in
chrome | chrome-headless-shell | chromedriver | firefox) tag=stable ;;
chromium) tag=latest ;;
*) decline_request "puppeteer has no browser $kind; it has chrome, chrome-headless-shell, chromedriver, chromium and firefox" ;;
esac
[ "$browser" != "$kind" ] || browser=$kind@$tag
# Firefox's releases are called stable_111.0.1.
[ "$kind" != firefox ] || browser=$(printf %s "$browser" | sed 's/@\([0-9]\)/@stable_\1/')
needs browsers
options=
case $packages in *--install-deps*)
    [ "$run_scripts" ] || reject "--install-deps installs packages of the system, which can run scripts; allow them with --postinstall-scripts"
    options=--install-deps ;;
esac
url=$(printenv "PUPPETEER_$(printf %s "$kind" | tr 'a-z-' 'A-Z_')_DOWNLOAD_BASE_URL") || url=${PUPPETEER_DOWNLOAD_BASE_URL:-}

log=$PWD/browsers.log
# A browser is complete if its folder has the path of its program.
is_complete() { [ -e "$root/.program" ] && [ -x "$root/$(cat "$root/.program")" ]; }
root=$LIB_DIR/puppeteer/$(printf %s "$browser" | tr @ -)
if [ "$options" ] || ! is_complete; then
    make_part
    cd /
    # shellcheck disable=SC2086 # one option a line
    browsers install "$browser" --path="$part" ${url:+"--base-url=$url"} $options >"$log" 2>&1 || {
        cat "$log" >&2
        cause=$(sed -n 's/^  - [A-Za-z]*: //p; s/^Error: //p' "$log" | grep -v 'providers failed' | head -n 1)
        fail "cannot download $browser: ${cause:-$(tail -n 1 "$log")}; check the network and PUPPETEER_DOWNLOAD_BASE_URL"
    }
    # The last line is chrome@156.0.8078.47 and the path of its program.
    found=$(grep "^$kind@[^ ]* /" "$log" | tail -n 1)
    [ "$found" ] || fail "browsers install $browser printed no path: $(tail -n 1 "$log")"
    build=${found%% *}
    file=${found#* }
    inside=${file#"$part/$kind/"}
    folder=$kind-${build#*@} root=$LIB_DIR/puppeteer/$kind-${build#*@}
    if ! is_complete; then
        [ ! -e "$root" ] || [ -d "$LIB_DIR/.prefixes/puppeteer/$folder" ] ||
            fail "$root exists, and rigup did not make it; move it away"
        printf '%s\n' "${inside#*/}" >"$part/$kind/${inside%%/*}/.program"
        rm -rf "$root" && mv "$part/$kind/${inside%%/*}" "$root"
    fi
fi
version=${root##*/"$kind"-}
"$RIGUP" hook binary --provider puppeteer --package-version "${version##*_}" --abspath "$root/$(cat "$root/.program")" -- "$@"
