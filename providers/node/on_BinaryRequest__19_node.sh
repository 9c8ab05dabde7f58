#!/bin/sh
# node: installs Node.js with npm, npx and corepack from nodejs.org/dist, or from the mirror that NODEJS_ORG_MIRROR
# names. It installs the newest LTS release that the policy and min_version allow, or else the newest release. `node@22`
# in overrides.node.packages selects a release of that line.
# Each version has a folder of its own, LIB_DIR/node/<version>, which the four programs share.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider node -- "$@")}"
case $name in node | npm | npx | corepack) ;; *) decline "only node, npm, npx and corepack come with Node.js" ;; esac
one_package
line=$(printf '%s\n' "$package" | sed -n '1s/^\(node@\)\{0,1\}v\{0,1\}\([0-9].*\)$/\2/p')

mirror=${NODEJS_ORG_MIRROR:-https://nodejs.org/dist} mirror=${mirror%/}
# Downloads the file $1 of the mirror into the folder $2.
fetch() {
    eval "$("$RIGUP" hook download --unverified ${NODEJS_ORG_MIRROR:+--setting=NODEJS_ORG_MIRROR} "$mirror/$1" "$2")"
}
fetch index.tab "$PWD"
case $(uname -m) in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; armv7*) arch=armv7l ;; *) arch=$(uname -m) ;; esac
case $(uname -s) in Darwin) os=darwin listed=osx-$arch-tar ;; *) os=linux listed=linux-$arch ;; esac
version=$(awk -F '\t' -v name="$name" -v listed="$listed" -v line="$line" -v min="$min_version" -v exact="$exact_version" -v before="$released_before" '
    function number(text, part) { sub(/^v/, "", text); split(text, part, "."); return (part[1] * 1e3 + part[2]) * 1e4 + part[3] }
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    index("," $column["files"] ",", "," listed ",") == 0 || line != "" && index($1 ".", "v" line ".") != 1 { next }
    # The index lists only the day of a release, so a release counts as published at the end of that day.
    before != "" && ($column["date"] !~ /^[0-9]+-[0-9]+-[0-9]+$/ || $column["date"] >= substr(before, 1, 10)) { next }
    exact != "" && name != "corepack" && (name == "node" ? substr($1, 2) : $column["npm"]) != exact { next }
    # min_version applies to the requested program. The index has no versions of corepack, which Node.js 25 dropped.
    name == "corepack" ? number($1) >= number("25") : number(name == "node" ? $1 : $column["npm"]) < number(min) { next }
    { rank = number($1) + ($column["lts"] == "-" ? 0 : 1e12); if (rank > best) { best = rank; version = $1 } }
    END { print version }' index.tab)
[ "$version" ] || fail "$mirror has no $name${exact_version:+ $exact_version}${min_version:+ $min_version or later}${line:+ of node $line}\
${released_before:+ released before $released_before} for $os-$arch"

root=$LIB_DIR/node/$version program=run/$name
[ "$name" != node ] || program=bin/node
# The archive of a program that runs was verified before it was unpacked.
if ! "$root/$program" --version >/dev/null 2>&1; then
    archive=node-$version-$os-$arch.tar.xz
    command -v xz >/dev/null || archive=${archive%xz}gz
    [ ! -e "$root" ] || [ -d "$LIB_DIR/.prefixes/node/$version" ] ||
        fail "$root exists, and rigup did not make it; move it away"
    make_part
    mkdir "$part/run"
    fetch "$version/SHASUMS256.txt" "$PWD"
    expected=$(awk -v file="$archive" '$2 == file { print $1 }' SHASUMS256.txt)
    fetch "$version/$archive" "$part"
    [ "$sha256" = "$expected" ] ||
        reject "$archive does not match SHASUMS256.txt: its digest is $sha256, not ${expected:-listed}"
    tar -xof "$file" -C "$part" --strip-components 1 && rm "$file"
    # The other programs look for node on PATH, and must find the one in this folder, wherever that is moved.
    for other in npm npx corepack; do
        cat >"$part/run/$other" <<LAUNCHER
#!/bin/sh
run=\$(realpath -- "\$0") bin=\${run%/run/*}/bin
PATH=\$bin:\$PATH exec "\$bin/node" "\$bin/$other" "\$@"
LAUNCHER
        if [ -e "$part/bin/$other" ]; then chmod +x "$part/run/$other"; fi
    done
    "$part/$program" --version >/dev/null || fail "$archive has no $name that runs here"
    rm -rf "$root" && mv "$part" "$root"
fi

"$RIGUP" hook binary --provider node --abspath "$root/$program" -- "$@"
