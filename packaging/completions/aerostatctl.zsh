#compdef aerostatctl
# SPDX-License-Identifier: Apache-2.0
#
# Completes aerostatctl in zsh. Guests' names come from the read-only socket; without permission for
# it, or without a controller, there are none.

_aerostatctl_guests() {
    local -a names socket
    socket=(${opt_args[--socket]:+--socket} ${opt_args[--socket]})
    names=("${(@f)$(_call_program guests aerostatctl --read-only $socket list --names 2>/dev/null)}")
    names=(${names:#})
    (( $#names )) && compadd -a names
}

_aerostatctl() {
    local context state state_descr line
    typeset -A opt_args
    local -a commands common
    commands=(
        'list:list all guests'
        'show:show everything about a guest'
        'explain:say why a guest has its target'
        'target:set a target'
        'policy:show or change range and weight'
        'top:watch guests on a full screen'
        'manage:allow a guest to be touched, or not'
        'add:look after one more guest'
        'remove:let go of a guest that was added'
        'watch:show events as they happen'
        'status:show the controller and its host'
        'mode:show or change the mode'
        'reload:read the configuration anew'
        'doctor:find what is wrong on this host'
        'reserve:keep room for a guest about to start'
        'prepare:make a guest small and hold it still'
        'release:end a reservation or a preparation'
        'claims:list reservations and preparations'
    )
    common=(
        '(-s --socket)'{-s,--socket}'[the control socket]:socket:_files'
        '(-r --read-only)'{-r,--read-only}'[use the socket that only tells]'
        '(-j --json)'{-j,--json}'[write JSON]'
        '(-h --help)'{-h,--help}'[show help]'
    )
    _arguments -C $common '(-V --version)'{-V,--version}'[show the version]' \
        '1:command:->command' '*::argument:->argument'
    case $state in
    command) _describe -t commands command commands ;;
    argument)
        case $line[1] in
        list) _arguments $common '--names[only the names]' ;;
        show | explain | remove | release) _arguments $common '1:guest:_aerostatctl_guests' ;;
        manage) _arguments $common '1:guest:_aerostatctl_guests' '2:whether:(yes no auto)' ;;
        add)
            _arguments $common '1:name:' '2:monitor socket:_files' \
                '*:setting:compadd -S "" agent= min= max= weight= manage='
            ;;
        reserve)
            _arguments $common '1:size:' '(-n --name)'{-n,--name}'[the guest it is for]:name' \
                '--hold[how long]:time' '(-w --wait)'{-w,--wait}'[stay until it is had]' \
                '(-t --timeout)'{-t,--timeout}'[wait no longer]:time'
            ;;
        prepare)
            _arguments $common '1:guest:_aerostatctl_guests' '--hold[how long]:time' \
                '(-t --timeout)'{-t,--timeout}'[wait no longer]:time'
            ;;
        target)
            _arguments $common '(-w --wait)'{-w,--wait}'[stay until it is there]' \
                '(-t --timeout)'{-t,--timeout}'[wait no longer]:time' \
                '1:guest:_aerostatctl_guests' '2:size:(auto)'
            ;;
        policy)
            _arguments $common '1:guest:_aerostatctl_guests' \
                '*:setting:compadd -S "" min= max= weight='
            ;;
        top) _arguments $common '--sort[order]:key:(name use actual target pressure state)' ;;
        mode) _arguments $common '1:mode:(observe balance reclaim)' ;;
        *) _arguments $common ;;
        esac
        ;;
    esac
}

_aerostatctl "$@"
