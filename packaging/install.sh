#!/bin/sh
# Installs rigup: one static executable. It edits no file of yours, such as ~/.profile; it prints the lines to add.
#   RIGUP_VERSION      the version to install (default: the one that this script was released with)
#   RIGUP_INSTALL_DIR  the folder to install into (default: ~/.local/bin)
#   RIGUP_SHA256       the digest of the archive (default: the one that this script was released with)
#   RIGUP_MIRROR       where the releases are (default: the releases of rigup's repository); it has vVERSION/FILE
set -eu

# packaging/pack.sh writes these three values.
released_version='@VERSION@'
releases='@RELEASES@'
digests='@DIGESTS@'

error() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the target of this machine.
target() {
    case $(uname -s) in
    Linux) system=unknown-linux-musl ;;
    Darwin) system=apple-darwin ;;
    *) error "rigup runs on Linux and macOS, not on $(uname -s)" ;;
    esac
    case $(uname -m) in
    x86_64 | amd64) echo "x86_64-$system" ;;
    aarch64 | arm64) echo "aarch64-$system" ;;
    *) error "there is no rigup for $(uname -m); build it: cargo install rigup --locked" ;;
    esac
}

# download URL FILE
download() {
    if command -v curl >/dev/null; then
        curl -fsSL --retry 3 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        wget -q -O "$2" "$1"
    else
        error "cannot download $1: neither curl nor wget is on PATH"
    fi || error "cannot download $1; check RIGUP_VERSION and RIGUP_MIRROR, or the connection"
}

# Prints the digest of a file, and then something else.
sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null; then
        shasum -a 256 <"$1"
    elif command -v openssl >/dev/null; then
        openssl dgst -sha256 -r <"$1"
    else
        error "cannot check the download: none of sha256sum, shasum and openssl is on PATH"
    fi
}

# Quotes a word for a POSIX shell, if it needs quotes.
quote() {
    case $1 in
    *[!A-Za-z0-9@%+=:,./_-]*) printf "'%s'\n" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s\n' "$1" ;;
    esac
}

main() {
    case $released_version in @*) released_version= ;; esac
    case $releases in @*) releases= ;; esac
    version=${RIGUP_VERSION:-$released_version}
    version=${version#v}
    base=${RIGUP_MIRROR:-$releases}
    [ -n "$version" ] || error "this script is not from a release; set RIGUP_VERSION"
    [ -n "$base" ] || error "this script is not from a release; set RIGUP_MIRROR"
    if [ -z "${RIGUP_INSTALL_DIR:-}" ] && [ -z "${HOME:-}" ]; then
        error "HOME is not set; set RIGUP_INSTALL_DIR"
    fi
    folder=${RIGUP_INSTALL_DIR:-$HOME/.local/bin}
    target=$(target)
    archive=rigup-$target.tar.gz
    url=${base%/}/v$version

    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    download "$url/$archive" "$scratch/$archive"
    # The digests of another version are not known here: those beside its files show only that the download is complete.
    if [ -n "${RIGUP_SHA256:-}" ]; then
        digests="$RIGUP_SHA256  $archive"
    elif [ "$version" != "$released_version" ]; then
        download "$url/SHA256SUMS" "$scratch/SHA256SUMS"
        digests=$(cat "$scratch/SHA256SUMS")
    fi
    expected=$(echo "$digests" | sed -n "s/^\([0-9a-f]\{64\}\)  $archive\$/\1/p")
    [ -n "$expected" ] || error "$url/$archive: its sha256 is not known; it is not installed"
    actual=$(sha256 "$scratch/$archive")
    actual=${actual%% *}
    [ "$actual" = "$expected" ] || error "$url/$archive: its sha256 is $actual, not $expected; it is not installed"
    gzip -dc "$scratch/$archive" | tar -xf - -C "$scratch"

    # The new file is complete, and known to run, before it takes the place of an earlier one.
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    [ ! -d "$folder/rigup" ] || error "$folder/rigup is a folder; move it away, or set RIGUP_INSTALL_DIR"
    new=$folder/.rigup.$$
    trap 'rm -rf "$scratch" "$new"' EXIT
    cp "$scratch/rigup-$target/rigup" "$new"
    chmod 755 "$new"
    installed=$("$new" --version) || error "$folder: rigup does not run from this folder; set RIGUP_INSTALL_DIR"
    mv -f "$new" "$folder/rigup"
    printf '%s\n' "installed $installed: $folder/rigup"

    case :${PATH:-}: in
    *":$folder:"*) program=rigup ;;
    *)
        program=$(quote "$folder/rigup")
        quoted=$(quote "$folder")
        echo "to run it by its name, add this line to the profile of your shell:"
        if [ "$quoted" = "$folder" ]; then
            echo "  export PATH=\"$folder:\$PATH\""
        else
            printf '%s\n' "  export PATH=$quoted:\"\$PATH\""
        fi
        ;;
    esac
    echo "to also run what it installs by name, add this line:"
    printf '%s\n' "  eval \"\$($program env)\""
}

# The last line, so that a download that breaks off runs nothing.
main
