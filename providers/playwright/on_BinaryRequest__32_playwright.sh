#!/bin/sh
# playwright: installs the version of a browser that belongs to the playwright on PATH. PLAYWRIGHT_DOWNLOAD_HOST names
# another host.
# Each revision has a folder of its own, LIB_DIR/playwright/chromium-1255, as in PLAYWRIGHT_BROWSERS_PATH.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider playwright -- "$@")}"
one_package
browser=$package
case $browser in
chrome | chromium) browser=chromium ;;
chrome-headless-shell | chromium-headless-shell) browser=chromium-headless-shell ;;
firefox | webkit) ;;
*) decline_request "playwright has no browser $browser; it has chromium, chromium-headless-shell, firefox and webkit" ;;
esac
needs playwright
options=
case $packages in *--with-deps*)
    [ "$run_scripts" ] || reject "--with-deps installs packages of the system, which can run scripts; allow them with --postinstall-scripts"
    options=--with-deps ;;
esac
# Without this option, chromium comes with the headless shell, which is a browser of its own.
[ "$browser" != chromium ] || options="$options$IFS--no-shell"

log=$PWD/playwright.log plan=$PWD/playwright.plan
explain() {
    cat "$log" >&2
    cause=$(sed -n 's/^.*\(Error: \|error: \)//p' "$log" | grep . | tail -n 1)
    ! grep -qE 'Failed to download|getaddrinfo|ECONN|ETIMEDOUT' "$log" ||
        cause="cannot download $browser: $cause; check the network and PLAYWRIGHT_DOWNLOAD_HOST"
    [ -z "$cause" ] || printf '%s\n' "$cause" >&2
    exit 1
}
# Playwright must not remove the browsers of other versions.
export PLAYWRIGHT_SKIP_BROWSER_GC=1
cd /
PLAYWRIGHT_BROWSERS_PATH=$part playwright install --dry-run "$browser" >"$plan" 2>"$log" || explain
# Chrome for Testing 159.0.8154.6 (playwright chromium v1255), or browser: chromium version 131.0.6778.33
version=$(sed -nE 's/^.* ([0-9][0-9.]*) \(playwright .*/\1/p; s/^browser: .* version ([0-9.]*)$/\1/p' "$plan" | head -n 1)
revision=$(sed -n 's,^ *Install location: *.*/,,p' "$plan" | head -n 1)
[ "$revision" ] || fail "playwright install --dry-run $browser names no folder"

# Prints the path of the browser in the folder $1.
program() {
    case $browser in
    chromium) set -- "$1" '/chrome-[^/]*/(chrome|[^/]*\.app/Contents/MacOS/[^/]*)' ;;
    chromium-headless-shell) set -- "$1" '/chrome-[^/]*/(chrome-)?headless[-_]shell' ;;
    firefox) set -- "$1" '/firefox/(firefox|[^/]*\.app/Contents/MacOS/firefox)' ;;
    webkit) set -- "$1" '/pw_run\.sh' ;;
    esac
    find "$1" -type f -perm -100 | sed "s,^$(printf %s "$1" | sed 's/[][\.*^$,]/\\&/g'),," | grep -xE "$2" | head -n 1
}
root=$LIB_DIR/playwright/$revision
# Playwright writes this file once a browser is complete.
is_complete() { [ -e "$root/INSTALLATION_COMPLETE" ] && [ "$(program "$root")" ]; }
if [ "$options" != "${options#--with}" ] || ! is_complete; then
    is_complete || [ ! -e "$root" ] || [ -d "$LIB_DIR/.prefixes/playwright/$revision" ] ||
        fail "$root exists, and rigup did not make it; move it away"
    make_part
    # shellcheck disable=SC2086 # one option a line
    PLAYWRIGHT_BROWSERS_PATH=$part playwright install $options "$browser" >"$log" 2>&1 || explain
    [ "$(program "$part/$revision")" ] || fail "playwright installed $browser, but its folder $revision has no program"
    is_complete || { rm -rf "$root" && mv "$part/$revision" "$root"; }
fi
"$RIGUP" hook binary --provider playwright --package-version "$version" --abspath "$root$(program "$root")" -- "$@"
