#!/bin/sh
# gem: installs Ruby programs from RubyGems. `rake:13.0` selects that version.
# Each requirement has a gem home of its own, LIB_DIR/gem/<name>, unless overrides.gem.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'
decline() { echo "$1" >&2; exit 0; }

eval "$("$RIGUP" hook begin --provider gem -- "$@")"
program=bin/$name
command -v gem >/dev/null || decline "gem is not on PATH; install it with apt-get install ruby"

# Build beside the prefix, then replace it: a failure or a kill leaves the working version.
part=$prefix.part
rm -rf "$part" && mkdir -p "$part"
[ "$prefix" = "$LIB_DIR/gem/$name" ] || [ ! -e "$prefix" ] || cp -Rp "$prefix/." "$part"
# shellcheck disable=SC2086 # one package a line
gem install --install-dir "$part" --bindir "$part/stubs" --no-user-install --no-document $packages >&2 2>gem.err || {
    cat gem.err >&2 && rm -rf "$part"
    sed -n '/^ERROR: /{/:$/N;s/\n[[:space:]]*/ /;p;q;}' gem.err >&2
    ! grep -q "can't find header files for ruby" gem.err || echo "the gem must be compiled; install a compiler and the headers with apt-get install ruby-dev gcc make" >&2
    exit 1
}
# RubyGems' stubs find their gems only through GEM_HOME, so create launchers that set it.
mkdir -p "$part/bin"
home=$(printf %s "$prefix" | sed "s/'/'\\\\''/g")
set +f
for stub in "$part"/stubs/*; do
    stub=${stub##*/}
    printf '#!/bin/sh\nGEM_HOME=%s GEM_PATH=%s exec %s "$@"\n' "'$home'" "'$home'" "'$home/stubs/$stub'" >"$part/bin/$stub"
    chmod +x "$part/bin/$stub"
done
[ -x "$part/$program" ] || { "$RIGUP" hook binary --provider gem --abspath "$part/$program" -- "$@" || rm -rf "$part"; exit 1; }
rm -rf "$prefix" && mv "$part" "$prefix"

"$RIGUP" hook binary --provider gem --abspath "$prefix/$program" -- "$@"
