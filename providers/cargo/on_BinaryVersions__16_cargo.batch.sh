#!/bin/sh
# cargo: lists the versions of crates in the sparse index of crates.io, or in the one that replaces it in cargo's configuration.
# shellcheck disable=SC2154 # hook begin sets plan
set -euf
IFS='
'

eval "$("$RIGUP" hook begin --provider cargo --versions)"
home=${CARGO_HOME:-$HOME/.cargo} index=https://index.crates.io
unclear() { decline "cargo's setting $1 names a registry that has no sparse index"; }
if [ -e "$home/config.toml" ] || [ -e "$home/config" ]; then
    settings=$("$RIGUP" hook toml --keys 'source registry.default http.cainfo http.proxy net.offline' "$home/config" "$home/config.toml") ||
        exit 1
    of_table() {
        printf '%s\n' "$settings" | awk -v table="[$1]" -v key="$2" '
            /^\[/ { is_in = $0 == table }
            is_in && index($0, key " = ") == 1 { value = substr($0, length(key) + 4); gsub(/^"|"$/, "", value); print value }'
    }
    [ -z "$(of_table registry default)" ] || unclear registry.default
    file=$(of_table http cainfo) proxy=$(of_table http proxy) source=$(of_table source.crates-io replace-with)
    [ -z "$file" ] || export CURL_CA_BUNDLE="$file"
    [ -z "$proxy" ] || export https_proxy="$proxy" http_proxy="$proxy"
    [ "$(of_table net offline)" != true ] || decline "cargo is offline because its configuration says so"
    # A source may be replaced by one that is replaced itself.
    for _ in 1 2 3; do
        [ -z "$source" ] || [ -z "$(of_table "source.$source" replace-with)" ] || source=$(of_table "source.$source" replace-with)
    done
    if [ "$source" ]; then
        index=$(of_table "source.$source" registry)
        case $index in sparse+*) index=${index#sparse+} ;; *) unclear "source.$source" ;; esac
    fi
fi
[ -z "${CARGO_REGISTRY_DEFAULT-}" ] || unclear CARGO_REGISTRY_DEFAULT
[ -z "${CARGO_HTTP_CAINFO-}" ] || export CURL_CA_BUNDLE="$CARGO_HTTP_CAINFO"
[ -z "${CARGO_HTTP_PROXY-}" ] || export https_proxy="$CARGO_HTTP_PROXY" http_proxy="$CARGO_HTTP_PROXY"
for line in $plan; do
    name=$(package "$line" | tr '[:upper:]' '[:lower:]')
    rest=${name#??} start=${name%"$rest"}
    case $name in
        ?) folder=1 ;;
        ??) folder=2 ;;
        ???) folder=3/${name%??} ;;
        *) folder=$start/${rest%"${rest#??}"} ;;
    esac
    page "$line" "${index%/}/$folder/$name"
done | "$RIGUP" hook versions --registry crates
