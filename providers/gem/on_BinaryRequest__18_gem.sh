#!/bin/sh
# gem: installs Ruby programs from RubyGems. `rake:13.0` selects that version.
# Each requirement has a gem home of its own, LIB_DIR/gem/<name>, unless overrides.gem.install_root names another.
# shellcheck disable=SC2154 # hook begin sets name, prefix, packages and the like
set -euf
IFS='
'

eval "${RIGUP_BEGIN:-$("$RIGUP" hook begin --provider gem -- "$@")}"
needs gem
needs ruby

# A surrounding project, such as one of `bundle exec`, must not choose the version of Ruby or its libraries.
log=$PWD/gem.err gemrc=$PWD/gemrc
cd /
unset RUBYOPT RUBYLIB RUBYGEMS_GEMDEPS GEM_HOME GEM_PATH BUNDLE_GEMFILE
# The options in the user's files would be added to those below. Keep the ones that say which gems may be installed, where
# they come from and how to get them: --source, --clear-sources, --http-proxy, --trust-policy and --prerelease. The last
# file in GEMRC takes precedence.
user=$(ruby -e '
    options = %w[gem install].flat_map { |key| Array(Gem.configuration[key]).join(" ").split }
    kept = options.slice_before(/^-/).select { |option, _| option =~ /^(-[psP]|--(no-)?(cl|ht|pr|so|tr))/ }
    File.write(ARGV[0], "gem: #{kept.join(" ").inspect}\ninstall: --no-document\n")
    puts Gem.config_file' "$gemrc")
export GEMRC="${GEMRC-$user}:$gemrc"

make_part
# shellcheck disable=SC2086 # one package a line
logged gem install --install-dir "$part" --bindir "$part/stubs" --wrappers --no-format-executable --no-user-install --no-document $packages || {
    reason=$(sed -n '/^ERROR: /{/:$/N;s/\n[[:space:]]*/ /;p;q;}' "$log")
    network=$(sed -n 's/.*Unable to download data from /from /p; s/.*Errno::E\(CONN\|HOST\|NET\)/&/p' "$log" | head -n 1)
    [ -z "$network" ] || reason="cannot reach the gem server: no data $network; check the network, the sources and the proxy in gem's configuration"
    printf '%s\n' "$reason" >&2
    ! grep -q "can't find header files for ruby" "$log" || echo "the gem must be compiled; install a compiler and the headers with \`apt-get install ruby-dev gcc make\`" >&2
    exit 1
}
# RubyGems' stubs find their gems only through GEM_HOME. Create launchers that set it to the folder that they are in, so
# that the folder can be moved.
mkdir -p "$part/bin"
set +f
for stub in "$part"/stubs/*; do
    [ -e "$stub" ] || break
    launcher=$part/bin/${stub##*/}
    { head -n 1 "$stub" && cat <<'LAUNCHER'; } >"$launcher"
launcher = File.realpath(__FILE__)
home = File.expand_path("../..", launcher)
ENV["GEM_HOME"] = ENV["GEM_PATH"] = home
Gem.clear_paths
load File.join(home, "stubs", File.basename(launcher))
LAUNCHER
    chmod +x "$launcher"
done

put_in_place "$part" "bin/$name" "$@"
