#!/bin/sh
# chrome: runs a headless Chromium until the last event is over. Other hooks find the port of its DevTools protocol in
# $CRAWL_DIR/chrome/profile/DevToolsActivePort.
set -eu
export TMPDIR="${TMP_DIR:-${TMPDIR:-/tmp}}" # Chromium leaves a folder there

# As root, Chromium does not start with its sandbox.
if [ "$(id -u)" = 0 ]; then set -- --no-sandbox; else set --; fi
rm -rf profile
chromium --headless --remote-debugging-port=0 --user-data-dir="$PWD/profile" --window-size=1280,1024 \
    --no-first-run --disable-background-networking --disable-component-update --disable-dev-shm-usage "$@" >&2 &
browser=$!
trap 'kill "$browser" 2>/dev/null || true; wait "$browser" || true; rm -rf profile' EXIT
trap 'exit 0' TERM INT

# Chromium writes this file as soon as it listens.
until [ -s profile/DevToolsActivePort ]; do
    kill -0 "$browser" 2>/dev/null || { echo "chromium exited before it was ready" >&2; exit 1; }
    sleep 0.05
done
port=$(head -n 1 profile/DevToolsActivePort)
printf '{"type":"Browser","port":%d}\n' "$port" # the first line on stdout lets the next hooks start
wait "$browser"
echo "chromium exited" >&2
exit 1
