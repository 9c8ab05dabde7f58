#compdef rigup
# Completes the command line of rigup in zsh.

_clap_dynamic_completer_rigup() {
    local line value
    local -a lines=() folders=() open=() other=()
    lines=("${(@f)$(
        export RIGUP_COMPLETE=zsh _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 1))
        PATH_OF_RIGUP -- "${words[@]}" 2>/dev/null
    )}")
    # A line has a value, in which a `:` has a backslash before it, and after a `:` its description.
    for line in $lines; do
        value=${${line//\\:/$'\0'}%%:*}
        case $value in
        */) folders+=("${${value%/}//$'\0'/\\:}") ;;
        *[=$'\0']) open+=("$line") ;;
        *) other+=("$line") ;;
        esac
    done
    [[ -n $folders ]] && _describe -V values folders -S / -r /
    [[ -n $other ]] && _describe -V values other
    # No space follows where the user goes on typing.
    [[ -n $open ]] && _describe -V values open -S ''
}

compdef _clap_dynamic_completer_rigup rigup
