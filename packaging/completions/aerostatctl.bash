# SPDX-License-Identifier: Apache-2.0
#
# Completes aerostatctl in bash. Guests' names come from the read-only socket; without permission for
# it, or without a controller, there are none.

_aerostatctl_guests() {
    local names name
    mapfile -t names < <("${COMP_WORDS[0]}" --read-only "${_aerostatctl_socket[@]}" list --names \
        2>/dev/null </dev/null)
    for name in "${names[@]}"; do
        [[ $name != "${cur//\\/}"* ]] || COMPREPLY+=("$(printf '%q' "$name")")
    done
}

# The words of $1 that begin as the current one does.
_aerostatctl_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_aerostatctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="list show explain target policy top manage add remove watch status mode reload doctor
        reserve prepare release claims"
    local options="--socket --read-only --json --help"
    local command="" position=0 i
    local _aerostatctl_socket=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -s | --socket)
            _aerostatctl_socket=(--socket "${COMP_WORDS[i + 1]}")
            ((i++))
            ;;
        -t | --timeout | --sort | -n | --name | --hold) ((i++)) ;;
        -*) ;;
        *)
            if [ -z "$command" ]; then command=${COMP_WORDS[i]}; else ((position++)); fi
            ;;
        esac
    done
    case $before in
    -s | --socket)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --sort)
        _aerostatctl_words "name use actual target pressure state"
        return
        ;;
    -n | --name)
        _aerostatctl_guests
        return
        ;;
    -t | --timeout | --hold) return ;;
    esac
    if [[ $cur == -* ]]; then
        case $command in
        "") options+=" --version" ;;
        list) options+=" --names" ;;
        target) options+=" --wait --timeout" ;;
        top) options+=" --sort" ;;
        reserve) options+=" --name --hold --wait --timeout" ;;
        prepare) options+=" --hold --timeout" ;;
        esac
        _aerostatctl_words "$options"
    elif [ -z "$command" ]; then
        _aerostatctl_words "$commands"
    elif [ "$position" -eq 0 ]; then
        case $command in
        show | explain | target | policy | manage | remove | prepare | release)
            _aerostatctl_guests
            ;;
        mode) _aerostatctl_words "observe balance reclaim" ;;
        esac
    elif [ "$command" = target ] && [ "$position" -eq 1 ]; then
        _aerostatctl_words "auto"
    elif [ "$command" = manage ] && [ "$position" -eq 1 ]; then
        _aerostatctl_words "yes no auto"
    elif [ "$command" = add ] && [ "$position" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [ "$command" = policy ] && [[ $before != "=" && $cur != "=" ]]; then
        _aerostatctl_words "min= max= weight="
        compopt -o nospace 2>/dev/null
    elif [ "$command" = policy ]; then
        cur=${cur#=}
        _aerostatctl_words "configured"
    fi
}

complete -F _aerostatctl aerostatctl
