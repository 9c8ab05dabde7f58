# shellcheck shell=sh disable=SC2154
# The code that every hook of a provider evaluates at its start.
decline() { printf '%s\n' "$1" >&2; exit 0; }
fail() { printf '%s\n' "$1" >&2; exit 1; }
warn() { printf '{"type":"Warning","message":"%s"}\n' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
# Runs a command whose errors are also in the file $log, for the reason of a failure.
logged() { "$@" >&2 2>"$log" && return; cat "$log" >&2; false; }
# Declines if there is no program $1; $2, or else the provider's config.json, says how to install it.
needs() { command -v "$1" >/dev/null || decline "$1 is not on PATH; ${2-$(how_to_install "$1")}"; }
