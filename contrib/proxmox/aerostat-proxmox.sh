#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Gives virtual machines of Proxmox VE what aerostat needs, or takes it away again.
#
# usage: aerostat-proxmox.sh enable|disable|status VMID...
#
# It only writes to a machine's configuration, by qm; the change takes effect at the next start
# from the outside (stop and start; a reboot from within is not enough).
set -eu

directory=${AEROSTAT_DIRECTORY:-/run/aerostat/guests}
hook=${AEROSTAT_HOOK:-local:snippets/aerostat-hook.sh}

fail() {
    echo "aerostat-proxmox.sh: $*" >&2
    exit 1
}

# The machine's setting $2, or nothing.
setting() {
    qm config "$1" | sed -n "s/^$2: //p"
}

# What is added to the machine's `args`: a monitor and an agent's port of our own, since Proxmox's
# serve one client at a time and Proxmox is that client; and a balloon whose guest may take memory
# back when it runs out.
our_args() {
    printf '%s' "-chardev socket,id=aerostat-qmp,path=$directory/$1.qmp,server=on,wait=off" \
        " -mon chardev=aerostat-qmp,mode=control" \
        " -chardev socket,id=aerostat-agent,path=$directory/$1.agent,server=on,wait=off" \
        " -device virtio-serial-pci,id=aerostat-serial" \
        " -device virtserialport,id=aerostat-port,bus=aerostat-serial.0,chardev=aerostat-agent,name=org.aerostat.memory.0" \
        " -global virtio-balloon-pci.deflate-on-oom=on"
}

# The machine's own `args`, without ours.
other_args() {
    setting "$1" args | awk -v ours="$(our_args "$1")" '{
        at = index($0, ours)
        if (at > 0) $0 = substr($0, 1, at - 1) substr($0, at + length(ours))
        gsub(/^ +| +$/, "")
        print
    }'
}

is_enabled() {
    case "$(setting "$1" args)" in
    *"$(our_args "$1")"*) return 0 ;;
    *) return 1 ;;
    esac
}

enable() {
    [ "$(setting "$1" balloon)" != 0 ] ||
        fail "$1 has no balloon device: qm set $1 --delete balloon, then enable it again"
    others=$(other_args "$1")
    qm set "$1" --args "${others:+$others }$(our_args "$1")"
    # Of two who move one balloon neither knows what it does: Proxmox's automatic leaves this one.
    qm set "$1" --shares 0
    present=$(setting "$1" hookscript)
    if [ -z "$present" ]; then
        qm set "$1" --hookscript "$hook"
    elif [ "$present" != "$hook" ]; then
        echo "$1 keeps its hookscript $present: have it call aerostat-hook.sh with its arguments"
    fi
    echo "$1: enabled from its next start on"
}

disable() {
    others=$(other_args "$1")
    if [ -n "$others" ]; then
        qm set "$1" --args "$others"
    elif [ -n "$(setting "$1" args)" ]; then
        qm set "$1" --delete args
    fi
    if [ "$(setting "$1" shares)" = 0 ]; then
        qm set "$1" --delete shares
    fi
    if [ "$(setting "$1" hookscript)" = "$hook" ]; then
        qm set "$1" --delete hookscript
    fi
    echo "$1: disabled from its next start on"
}

status() {
    state=disabled
    if is_enabled "$1"; then
        state=enabled
        [ ! -S "$directory/$1.qmp" ] || state="enabled, its sockets are there"
    fi
    echo "$1: $state"
}

[ $# -ge 2 ] || fail "usage: aerostat-proxmox.sh enable|disable|status VMID..."
command=$1
shift
case $command in
enable | disable | status) ;;
*) fail "usage: aerostat-proxmox.sh enable|disable|status VMID..." ;;
esac
for vmid in "$@"; do
    case $vmid in
    '' | *[!0-9]*) fail "'$vmid' is not a VMID" ;;
    esac
    qm config "$vmid" >/dev/null || fail "there is no machine $vmid"
    "$command" "$vmid"
done
