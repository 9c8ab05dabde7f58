# shellcheck shell=sh disable=SC2034,SC2086,SC2154,SC2317
# The code of a hook that installs Python packages into a venv, with uv or with pip.
# Rejects locations as check_locations does, except those of wheels: a wheel runs nothing when it is installed.
check_wheels() { check_locations '^([A-Za-z0-9._-]+(\[[^]]*\])? *@ *)?((https?|file):|[./~])[^?#]*\.whl([?#].*)?$'; }
# Makes uv use only those of its settings that say which packages it may choose, where they come from and how to get
# them. With an argument, not even those that name indexes.
filter_uv_settings() {
    unset PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR UV_LINK_MODE UV_PROJECT UV_SYSTEM_PYTHON UV_VENV_SEED UV_WORKING_DIR
    for variable in BUILD_CONSTRAINT CONSTRAINT EXCLUDE FIND_LINKS OVERRIDE; do
        eval "value=\${UV_$variable-}"
        [ -z "$value" ] || check_paths "the variable UV_$variable" "$value"
    done
    if [ -z "$run_scripts" ]; then unset UV_NO_BINARY UV_NO_BINARY_PACKAGE; fi
    [ -z "${1-}" ] || unset UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX UV_INDEX_STRATEGY UV_INDEX_URL \
        UV_NO_INDEX UV_TORCH_BACKEND
    [ -z "${UV_CONFIG_FILE-}" ] || check_paths 'the variable UV_CONFIG_FILE' "$UV_CONFIG_FILE"
    uv_files
    unset UV_CONFIG_FILE UV_NO_CONFIG
    if [ -z "$user$system" ]; then
        export UV_NO_CONFIG=1
        return
    fi
    keys="concurrent-builds concurrent-downloads concurrent-installs constraint-dependencies override-dependencies \
allow-insecure-host cache-dir http-proxy https-proxy keyring-provider native-tls no-cache no-proxy offline system-certs \
exclude-newer fork-strategy prerelease resolution required-version python-downloads python-downloads-json-url \
python-install-mirror python-preference pypy-install-mirror"
    [ -z "$run_scripts" ] || keys="$keys build-constraint-dependencies config-settings config-settings-package \
extra-build-dependencies extra-build-variables no-binary no-binary-package no-build-isolation no-build-isolation-package"
    [ "${1-}" ] || keys="$keys extra-index-url find-links index-strategy index-url no-index torch-backend \
index.authenticate index.cache-control index.default index.explicit index.format index.ignore-error-codes index.name index.url"
    # shellcheck disable=SC2086 # no file is an empty word
    "$RIGUP" hook toml --keys "$(printf %s "$keys" | sed 's/[^ ]*/& pip.&/g')" ${user:+"$user"} ${system:+"$system"} >uv.toml ||
        exit 1
    export UV_CONFIG_FILE="$PWD/uv.toml"
    # `uv tool` does not read the table for `uv pip`.
    ! grep -qE '^\[*pip[].]' uv.toml || has_pip_table=yes
    # This empty file keeps uv from reading the project files of the folders above.
    : >pyproject.toml
}
# Makes fill_venv use uv, with the option $1: `uv tool install`, which is one process, or `uv venv` and `uv pip install` for
# what it cannot do. uv takes no --only-binary beside --no-build, which is stricter.
use_uv() {
    no_build=--no-build age=${released_before:+--exclude-newer=$released_before} option=${1-} is_tool=
    case $run_scripts/$packages in /*--only-binary=*) packages=$(printf '%s\n' "$packages" | grep -v '^--only-binary=') ;; esac
    case $shared$locations${has_pip_table-}/$packages in /*--no-deps* | /*--only-binary=*) ;; /*) is_tool=yes ;; esac
    make_venv() { (cd / && uv venv --quiet "$part"); }
    install() { uv pip install --python "$part/bin/python" $option ${reinstall:+--reinstall} "$@" $packages; }
}
# Installs the first package with `uv tool install`, which makes a venv in $part, and the others into the same venv.
install_tool() {
    first=yes
    for package in $packages; do
        case $first$package in -* | yes-*) ;; yes*) first='' ;; *) package=--with=$package ;; esac
        set -- "$@" "$package"
    done
    # On PATH, because uv warns if its links are not.
    (cd / && PATH=$part/.bin:$PATH UV_TOOL_DIR=$part UV_TOOL_BIN_DIR=$part/.bin uv tool install $option "$@")
}
# Makes fill_venv use the pip that the file $1 runs. $no_age is not empty if pip cannot enforce the age of releases.
use_pip() {
    no_build=--only-binary=:all: age='' is_tool='' runner=$1
    [ "$no_age" ] || age=${released_before:+--uploaded-prior-to=$released_before}
    make_venv() { base_python -m venv --without-pip "$part"; }
    # pip would build a dependency that a package names by its URL. A build is a process, and pip needs no other, except
    # one for passwords.
    no_processes='import os, runpy, sys
def check(event, args):
    if event == "subprocess.Popen" and os.path.basename(str(args[0])) != "keyring":
        raise PermissionError("a package has no wheel, and building is disabled")
sys.addaudithook(check)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")'
    # As `pip --python` does, but without a pip that only starts this one.
    install() {
        set -- install --no-compile --no-warn-script-location --log "$PWD/pip.log" ${reinstall:+--force-reinstall} "$@" $packages
        if [ "$run_scripts" ]; then "$part/bin/python" "$runner" "$@"
        else "$part/bin/python" -I -c "$no_processes" "$runner" "$@"; fi
    }
}
# Makes $part and in it $venv, a venv in which the packages are installed. The hook defines how: make_venv, and install,
# whose options are $no_build and $age. $1 is the program whose configuration names the index. $2 is a function that makes
# other definitions, and is called if the installer fails for a reason of its own; it fails if there is no other installer.
fill_venv() {
    venv_begin
    venv_try || { [ -z "$must_keep_age" ] && venv_has_no_dates && age= &&
        warn_of_age "the index has no release dates, so the newest releases are installed" && venv_try; } ||
        { [ "${2-}" ] && ! venv_fails_with_any_installer && "$2" && venv_begin && venv_try; } || {
        url=$(venv_unreachable)
        if venv_has_no_dates; then fail "cannot enforce min_release_age: the index has no release dates"; fi
        [ -z "$url" ] || fail "cannot reach the index: $url; check the network, and the index, its credentials and the \
proxy in $1's configuration"
        reason=$(venv_reason)
        [ "$reason" ] || fail "the installer printed no reason, and exited with code $code"
        if venv_needs_build; then fail "$reason; a package that must be built needs --postinstall-scripts"; fi
        other=$(venv_other_python)
        case $other$reason in ';'* | *'current Python version ('*') does not satisfy '*) decline_request "$reason$other" ;; esac
        fail "$reason"
    }
}
venv_begin() {
    make_part
    venv=$part reinstall='' has_venv='' relocate=true
    if [ "$run_scripts" ]; then no_build=; fi
    if [ -e "$part/pyvenv.cfg" ]; then reinstall=yes has_venv=yes; fi
}
# Returns whether the last error is one of the index, the packages or the disk. An installer that is killed or that fails
# without such an error may have one of its own.
venv_fails_with_any_installer() {
    [ "$code" -lt 128 ] && {
        venv_saw 'No (solution|matching distribution) found|not found in the|not satisf|Failed to (build|download|fetch|parse)' ||
            venv_saw '(missing|without) an upload date|does not provide upload-time|no usable wheels|no wheels|building.* is disabled' ||
            venv_saw 'No space left|Read-only|Permission denied|quota'
    }
}
# The last of conflicting options counts.
venv_try() {
    code=0 && : >pip.log
    if [ -z "$is_tool" ]; then
        { [ "$has_venv" ] || make_venv; } >&2 2>errors && has_venv=yes && install $no_build $age >&2 2>errors || code=$?
    # uv prints on stdout that a package has no programs.
    else install_tool $no_build $age >pip.log 2>errors || code=$?; fi
    while IFS= read -r line || [ "$line" ]; do printf '%s\n' "$line"; done <errors >&2
    if [ "$is_tool" ] && [ "$code" = 0 ]; then
        set +f
        for venv in "$part"/*/; do venv=${venv%/}; done
        set -f
    elif [ "$is_tool" ] && venv_saw 'No executables are provided|unexpected argument|unrecognized subcommand'; then
        # uv leaves files in its folder, and makes no venv in one that is not empty.
        is_tool= && remove_part && mkdir "$part" && venv_try && return
    fi
    [ "$code" = 0 ]
}
venv_saw() { grep -qE "$1" errors pip.log; }
venv_has_no_dates() { venv_saw 'missing an upload date|does not provide upload-time'; }
# Returns whether a build would have helped. To know, pip searches again, with sources, of which it can build none.
venv_needs_build() {
    [ -z "$run_scripts" ] || return 1
    if venv_saw 'No matching distribution found' && venv_saw 'No sources permitted'; then
        no_build=--dry-run
        ! venv_try || return 0
    fi
    venv_saw 'no usable wheels|building.* is disabled'
}
# Prints the Python that the requested version requires, or the last version if pip found none, if this is another one.
venv_other_python() {
    file=$(tr '[:upper:]' '[:lower:]' <errors | sed -nE '/^error: (could not find a version|no matching dist)/!d; s/\[[^]]*\]//; s/[-_.]/[-_.]/g
        s,.* requirement ([^ =<>!~;]+).*versions: none.*,\1-([0-9][^-/]*),p
        s,.* found for ([^ =<>!~;]+)==([^ ;*]+)$,\1-(\2(\\.0)*),p' | tail -n 1)
    [ -z "$file" ] || tr '[:upper:]' '[:lower:]' <pip.log | sed -nE "s,.*different python \((.*) not in: '(.*)'\): .*/$file(-|\.tar\.|\.zip).*,; \3 requires Python \2\, and \
this is Python \1,p" | tail -n 1
}
# Prints the last error in one line.
venv_reason() {
    awk '/ResolutionImpossible/ { next }
        sub(/^[A-Za-z_.]*(Error|Exception): /, "") { reason = $0; is_open = 0; next }
        sub(/^ *(ERROR:( Could not install packages due to an OSError:)?|error:|cause:|Caused by:|×|╰─▶) /, "") { reason = $0; is_open = !/[.0-9]$/; next }
        /^ *(hint:.*)?$/ { is_open = 0 }
        is_open { sub(/^ */, ""); reason = reason " " $0 }
        END { print reason }' errors
}
# Prints the first URL that could not be fetched, and why.
venv_unreachable() {
    # The log begins each line with the time, also those of a reason with several.
    sed -nE "/.*Could not fetch URL /!d; s///; / 404 Client/d; s/ - skipping\$//; s/^([^ ]+) \(from [^)]*\): /\\1: /
        s/ for url: .*//; s/^([^ ]+): .*Caused by .*['\"]([^'\"]*)['\"][])]*\$/\\1: \\2/
        s/: .*Failed to establish a new connection: /: /; p" pip.log | head -n 1
    url=$(sed -nE "s/.*Failed to fetch: \`?([^\`]+)\`?\$/\1/p" errors | head -n 1)
    [ -z "$url" ] || echo "$url: $(venv_reason)"
    sed -nE 's/^ *hint: An index[^(]*\(([^)]*)\).*(40[13] [A-Z][a-z]+).*/\1: \2/p' errors | head -n 1
}
