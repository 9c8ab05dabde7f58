#!/usr/bin/env bash
# Makes the files of a release from the executables in OUT/TARGET/rigup: packaging/pack.sh OUT
# That of x86_64-unknown-linux-musl must exist, because it writes the man pages and the completions.
# Writes archives, Debian packages, npm packages, the container image, the SBOM, install.sh and SHA256SUMS to OUT.
# Needs cargo-deb, cargo-cyclonedx, npm and buildah.
#   RIGUP_REPOSITORY=URL   the repository, from whose releases install.sh downloads
set -euo pipefail
[ $# = 1 ] || { echo "usage: packaging/pack.sh OUT" >&2 && exit 2; }
out=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
version=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"name":"rigup","version":"\([^"]*\)".*/\1/p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
readonly out version scratch repository=${RIGUP_REPOSITORY:-}

# The man pages, compressed as Debian wants them, and the completions, in the folders that packages use.
documents() {
    local rigup=$out/x86_64-unknown-linux-musl/rigup shared=$scratch/share
    export RIGUP_DATA_DIR=$scratch/data
    mkdir -p "$shared/man/man1" "$shared"/{bash-completion/completions,fish/vendor_completions.d,zsh/vendor-completions}
    "$rigup" generate man "$shared/man/man1" >/dev/null
    gzip --no-name -9 "$shared"/man/man1/*
    "$rigup" completions bash >"$shared/bash-completion/completions/rigup"
    "$rigup" completions fish >"$shared/fish/vendor_completions.d/rigup.fish"
    "$rigup" completions zsh >"$shared/zsh/vendor-completions/_rigup"
    # They call the executable that wrote them, by its path.
    sed -i "s|$rigup|rigup|g" "$shared"/{bash-completion/completions/rigup,fish/vendor_completions.d/rigup.fish,zsh/vendor-completions/_rigup}
}

# archive TARGET
archive() {
    local folder=rigup-$1
    mkdir "$scratch/$folder"
    cp "$out/$1/rigup" README.md CHANGELOG.md LICENSE-* "$scratch/$folder"
    cp -r "$scratch/share" "$scratch/$folder"
    chmod 755 "$scratch/$folder/rigup"
    tar --directory "$scratch" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        --mtime="@$SOURCE_DATE_EPOCH" --create "$folder" | gzip --no-name -9 >"$out/$folder.tar.gz"
}

# debian_package TARGET
debian_package() {
    local target_dir=$scratch/target
    mkdir -p "$target_dir/$1/release"
    cp -r "$out/$1/rigup" "$scratch/share" "$target_dir/$1/release"
    CARGO_TARGET_DIR=$target_dir cargo deb --quiet --locked --no-build --no-strip --target "$1" --output "$out" >/dev/null
}

# npm_package TEMPLATE EXECUTABLE [OS CPU]: packs the executable with the filled-in package.json.
npm_package() {
    local folder=$scratch/npm-${3:-}-${4:-} description
    description=$(sed -n 's/^description = "\(.*\)"$/\1/p' Cargo.toml)
    mkdir -p "$folder/bin"
    sed -e "s|@VERSION@|$version|g; s|@DESCRIPTION@|$description|; s|@OS@|${3:-}|g; s|@CPU@|${4:-}|g" \
        -e "s|@REPOSITORY@|$repository|; /\"repository\": \"\"/d" "packaging/npm/$1" >"$folder/package.json"
    cp "$2" README.md LICENSE-* "$folder"
    mv "$folder/${2##*/}" "$folder/bin"
    chmod 755 "$folder/bin/${2##*/}"
    npm pack --silent --pack-destination "$out" "$folder" >/dev/null
}

# image ARCHITECTURE...: the image of these architectures, whose executables are in $scratch/image.
image() {
    local platforms
    platforms=$(printf 'linux/%s,' "$@")
    # The storage is thrown away, so it needs no overlay.
    in_scratch() { buildah --root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs "$@"; }
    in_scratch build --quiet --isolation chroot --platform "${platforms%,}" --timestamp "$SOURCE_DATE_EPOCH" \
        --manifest rigup --file packaging/Containerfile "$scratch/image" >/dev/null
    in_scratch manifest push --quiet --all rigup "oci-archive:$out/rigup-image.tar" >/dev/null
}

sbom() {
    cargo cyclonedx --quiet --format json --spec-version 1.5 --target all --override-filename rigup.cdx
    # It names the folder of the checkout.
    sed "s|file://$PWD|file:///rigup|g" rigup.cdx.json >"$out/rigup.cdx.json"
    rm rigup.cdx.json
}

# install.sh of this release requires the digests of its archives.
installer() {
    local digests releases=
    digests=$(cd "$out" && sha256sum rigup-*.tar.gz | sed '$!s|$|\\|')
    [ -z "$repository" ] || releases=$repository/releases/download
    sed -e "s|'@VERSION@'|'$version'|; s|'@RELEASES@'|'$releases'|; s|'@DIGESTS@'|'$digests'|" packaging/install.sh \
        >"$out/install.sh"
}

# target TARGET OS CPU [ARCHITECTURE]: makes the files of a target, if there is an executable. OS and CPU are Node's words, and
# ARCHITECTURE is that of an image.
target() {
    local executable=$out/$1/rigup
    [ -f "$executable" ] || return 0
    echo "packing $1"
    archive "$1"
    npm_package platform.json "$executable" "$2" "$3"
    [ -n "${4:-}" ] || return 0
    debian_package "$1"
    install -D "$executable" "$scratch/image/$4/rigup"
    architectures+=("$4")
}

main() {
    architectures=()
    documents
    target x86_64-unknown-linux-musl linux x64 amd64
    target aarch64-unknown-linux-musl linux arm64 arm64
    target x86_64-apple-darwin darwin x64
    target aarch64-apple-darwin darwin arm64
    npm_package package.json packaging/npm/bin/rigup.js
    image "${architectures[@]}"
    sbom
    installer
    (cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum >"$scratch/SHA256SUMS")
    mv "$scratch/SHA256SUMS" "$out/SHA256SUMS"
}

main
