#!/bin/sh
# The first step of action.yml: decides whether to install from rigup.lock and to use the cache, and names the folders.
set -eu

error() {
    echo "::error title=rigup::$*" >&2
    exit 1
}

# Prints true or false. choose INPUT VALUE AUTO
choose() {
    case $2 in
    true | false) echo "$2" ;;
    auto) echo "$3" ;;
    *) error "$1 is $2; write auto, true or false" ;;
    esac
}

# Prints the digest of a file, and then something else.
digest() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null; then
        shasum -a 256 <"$1"
    elif command -v openssl >/dev/null; then
        openssl dgst -sha256 -r <"$1"
    else
        error "cannot name the cache by rigup.lock: none of sha256sum, shasum and openssl is on PATH; set cache to false"
    fi
}

has_lock=false
[ ! -f rigup.lock ] || has_lock=true
may_cache=$has_lock
# A job with secrets must not run what a job without any put into the cache.
case ${GITHUB_EVENT_NAME:-} in release | pull_request_target | workflow_run) may_cache=false ;; esac
[ "${GITHUB_REF_TYPE:-}" != tag ] || may_cache=false

# shellcheck disable=SC2153 # action.yml sets LOCKED and CACHE
locked=$(choose locked "$LOCKED" "$has_lock")
# shellcheck disable=SC2153
cache=$(choose cache "$CACHE" "$may_cache")
if [ "$cache" = true ] && [ "$has_lock" = false ]; then
    error "cache is true, but there is no rigup.lock in $PWD, which names what the cache contains; run rigup lock"
fi
key=
if [ "$cache" = true ]; then
    digest=$(digest rigup.lock)
    key=$CACHE_KEY_PREFIX-$RUNNER_OS-$RUNNER_ARCH-${digest%% *}
fi
{
    echo "locked=$locked"
    echo "cache=$cache"
    echo "key=$key"
    echo "install-dir=$RUNNER_TEMP/rigup/bin"
    echo "data-dir=$RUNNER_TEMP/rigup/data"
} >>"$GITHUB_OUTPUT"
