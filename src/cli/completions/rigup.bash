# shellcheck shell=bash
# Completes the command line of rigup in bash.

_clap_complete_rigup() {
    # bash splits a word such as pip:ruff or --ci=github at the characters in COMP_WORDBREAKS, and replaces only the part
    # after the last of them. So join the parts between blanks again, up to the cursor.
    local line=${COMP_LINE-${COMP_WORDS[*]}} words=() word='' part
    local rest=${line:0:${COMP_POINT-${#line}}}
    for part in "${COMP_WORDS[@]}"; do
        if [[ $rest == [[:space:]]* ]]; then
            words+=("$word")
            word=''
            rest=${rest#"${rest%%[![:space:]]*}"}
        fi
        [[ $rest == "$part"* ]] || part=$rest
        word+=$part
        rest=${rest#"$part"}
    done
    # bash keeps a quote at the start of a word.
    word=${word#[\"\']}
    local kept=${word%"$2"} IFS=$'\n'
    # shellcheck disable=SC2207 # one value a line, without patterns
    COMPREPLY=($(
        export RIGUP_COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=${#words[@]}
        PATH_OF_RIGUP -- "${words[@]}" "$word"
    ))
    # No space follows where the user goes on typing.
    [[ ${COMPREPLY-} == *[=/:] ]] || compopt +o nospace 2>/dev/null
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}

complete -o nospace -o bashdefault -o nosort -F _clap_complete_rigup rigup 2>/dev/null ||
    complete -o nospace -o bashdefault -F _clap_complete_rigup rigup
