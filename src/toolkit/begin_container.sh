# shellcheck shell=sh disable=SC2016,SC2154
# The code of a hook whose programs are images of containers.
# Makes $part, with a program that runs the image $2 with the engine $1, which is docker or podman.
wrap_image() {
    image=$2 log=$PWD/$1.log
    case $image in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._:/@-]*) decline "$image is not the name of an image" ;; esac
    tag=${exact_version%@*} # the version of an image ends with its digest, which one in no registry does not have
    case ${image##*/} in *[:@]*) ;; *) image=$image:${tag:-latest} ;; esac
    # An image that was built or loaded here is in no registry.
    logged "$1" pull --quiet "$image" || "$1" image inspect "$image" >/dev/null 2>&1 ||
        fail "cannot pull the image $image: $(tail -n 1 "$log"); to use another, set overrides.$1.image, such as docker.io/alpine/git:v2.49.1"
    digest=$("$1" image inspect --format '{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}' "$image") ||
        fail "$1 cannot show the digest of $image"
    # Without an entrypoint, an image runs the first argument.
    program=$("$1" image inspect --format '{{if not .Config.Entrypoint}}.{{end}}' "$image")
    [ -z "$program" ] || program="'$(printf %s "$name" | sed "s/'/'\\\\''/g")' "
    # Without root, podman maps the user to root of the container unless told otherwise.
    user='--user=$(id -u):$(id -g)'
    [ "$1" = docker ] || user='$([ "$(id -u)" = 0 ] || echo --userns=keep-id)'
    make_part
    mkdir "$part/bin"
    cat >"$part/bin/$name" <<END
#!/bin/sh
# image: ${image%@*}@${digest##*@}
# Runs the image as this user, with the current folder in the same place.
if [ -t 0 ] && [ -t 1 ]; then set -- --tty '$digest' $program"\$@"
else set -- '$digest' $program"\$@"; fi
[ "\$PWD" = / ] || set -- --volume "\$PWD:\$PWD" --workdir "\$PWD" "\$@"
exec $1 run --rm --interactive $user "\$@"
END
    chmod +x "$part/bin/$name"
}
