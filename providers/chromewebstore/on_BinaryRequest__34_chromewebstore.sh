#!/bin/sh
# chromewebstore: installs a Chrome extension by its id, unpacked. The binary is its manifest.json, which is not linked.
# CHROMEWEBSTORE_UPDATE_URL names another host than that of the Chrome Web Store. In install_args, --url=URL names a CRX or
# zip file, --sha256=DIGEST its digest, and --name=NAME changes nothing.
# Each version has a folder of its own, LIB_DIR/chromewebstore/<id>/<version>.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider chromewebstore -- "$@")}"
one_package
id=$package
printf %s "$id" | grep -qxE '[a-p]{32}' || decline "$id is not the id of an extension, which has 32 letters from a to p"
url=$(printf '%s\n' "$packages" | sed -n 's/^--url=//p' | tail -n 1)
expected=$(printf '%s\n' "$packages" | sed -n 's/^--sha256=//p' | tail -n 1 | tr A-F a-f)
[ "$url" ] || url="${CHROMEWEBSTORE_UPDATE_URL:-https://clients2.google.com/service/update2/crx}?response=redirect&acceptformat=crx3&prodversion=9999.0.9999.0&x=id%3D$id%26uc"
digest() { { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; } | cut -d ' ' -f 1; }
# Prints the $3 bytes of the file $1 at the offset $2.
bytes() { tail -c "+$(($2 + 1))" "$1" | head -c "$3"; }

log=$PWD/chromewebstore.log
make_part
zip=$part/zip
eval "$("$RIGUP" hook download --unverified "$url" "$part/download")"
[ -s "$file" ] || fail "the Chrome Web Store has no extension $id"
[ -z "$expected" ] || [ "$sha256" = "$expected" ] ||
    reject "$url does not match its digest: it has $sha256, not $expected"
case $(head -c 4 "$file" | tr -d '\0') in
Cr24)
    # The header of a CRX3 file is a protocol buffer: field 2 has a key (1) and a signature (2), field 10000 has what is
    # signed before the archive. The lines are: "signed" OFFSET LENGTH, "key" OFFSET LENGTH, "signature" OFFSET LENGTH,
    # "archive" OFFSET.
    size=$(bytes "$file" 8 4 | od -An -v -tu1 | awk '{ print $1 + 256 * ($2 + 256 * ($3 + 256 * $4)) }')
    [ "$size" -le 1048576 ] || fail "the file of $id is not a CRX3 file"
    bytes "$file" 0 $((12 + size)) | od -An -v -tu1 | tr -s ' ' '\n' | grep . | awk '
        { byte[NR - 1] = $1 }
        function varint(value, scale) {
            for (scale = 1; byte[at] > 127; scale *= 128) value += (byte[at++] - 128) * scale
            return value + byte[at++] * scale
        }
        function fields(end, parent, tag, field, size) {
            while (at < end) {
                tag = varint(0, 0); field = int(tag / 8)
                if (tag % 8 != 2) exit 1
                size = varint(0, 0)
                if (at + size > end) exit 1
                if (parent == 0 && field == 2) { fields(at + size, 2); continue }
                if (parent == 0 && field == 10000) print "signed", at, size
                if (parent == 2 && field == 1) print "key", at, size
                if (parent == 2 && field == 2) print "signature", at, size
                at += size
            }
        }
        END { if (byte[4] != 3) exit 1; at = 12; fields(NR, 0); print "archive", NR }' >"$part/header" ||
        fail "the file of $id is not a CRX3 file"
    key=
    while read -r what offset length; do
        case $what in
        key)
            bytes "$file" "$offset" "$length" >"$part/key"
            [ "$(digest "$part/key" | cut -c 1-32 | tr 0-9a-f a-p)" != "$id" ] || key=$part/id.key
            [ "$key" != "$part/id.key" ] || [ -e "$key" ] || mv "$part/key" "$key" ;;
        signature) [ -z "$key" ] || [ -e "$part/signature" ] || bytes "$file" "$offset" "$length" >"$part/signature" ;;
        signed) signed="$offset $length" ;;
        archive) tail -c "+$((offset + 1))" "$file" >"$zip" ;;
        esac
    done <"$part/header"
    [ "$key" ] || reject "the file is another extension than $id: none of its keys has this id"
    if command -v openssl >/dev/null; then
        length=${signed#* }
        {
            printf 'CRX3 SignedData\0'
            # shellcheck disable=SC2059 # four bytes, in octal
            printf "$(printf '\\%03o' $((length % 256)) $((length / 256 % 256)) $((length / 65536 % 256)) $((length / 16777216)))"
            bytes "$file" "${signed% *}" "$length"
            cat "$zip"
        } >"$part/message"
        openssl dgst -sha256 -keyform DER -verify "$key" -signature "$part/signature" "$part/message" >"$log" 2>&1 ||
            reject "the signature of $id does not match: $(tail -n 1 "$log")"
    else
        warn "the signature of $id is not checked, because openssl is not on PATH"
    fi ;;
PK*)
    [ "$expected" ] || fail "the file of $id is a zip archive, which has no signature; state its digest with --sha256=$sha256"
    mv "$file" "$zip" ;;
*) fail "the file of $id is neither a CRX3 file nor a zip archive" ;;
esac
logged "$RIGUP" hook unpack "$zip" "$part/extension" || fail "cannot unpack $id: $(tail -n 1 "$log")"
manifest=$part/extension/manifest.json
[ -e "$manifest" ] || fail "the archive of $id has no manifest.json"
version=$(tr '\n' ' ' <"$manifest" | grep -oE '"version" *: *"[0-9.]+"' | head -n 1 | cut -d '"' -f 4) || :
[ "$version" ] || fail "the manifest.json of $id states no version"
# Chrome loads no unpacked extension with this folder of the store.
rm -rf "$part/extension/_metadata"
chmod a-x "$manifest"

root=$LIB_DIR/chromewebstore/$id/$version
# Chrome writes a _metadata of its own.
if ! diff -r -x _metadata "$part/extension" "$root" >/dev/null 2>&1; then
    [ ! -e "$root" ] || [ -d "$LIB_DIR/.prefixes/chromewebstore/$id" ] ||
        fail "$root exists, and rigup did not make it; move it away"
    mkdir -p "${root%/*}"
    [ ! -e "$root" ] || mv "$root" "$part/earlier"
    mv "$part/extension" "$root"
fi
"$RIGUP" hook binary --provider chromewebstore --package-version "$version" --abspath "$root/manifest.json" -- "$@"
