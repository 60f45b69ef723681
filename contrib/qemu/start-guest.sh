#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Starts a QEMU guest that aerostat finds by itself.
#
# usage: start-guest.sh NAME MEMORY [QEMU ARGUMENT]...
#
# For instance: start-guest.sh web1 4G -accel kvm -cpu host -drive file=web1.qcow2,if=virtio
#
# AEROSTAT_DIRECTORY (default /run/aerostat/guests) is where the controller looks for guests. The
# sockets go with QEMU; one that is killed leaves them behind, which does no harm.
set -eu

[ $# -ge 2 ] || {
    echo "usage: start-guest.sh NAME MEMORY [QEMU ARGUMENT]..." >&2
    exit 2
}
name=$1
memory=$2
shift 2
directory=${AEROSTAT_DIRECTORY:-/run/aerostat/guests}
[ -d "$directory" ] || mkdir -p "$directory"

# A monitor for the controller alone: it serves one client at a time. The balloon, whose guest may
# take memory back when it runs out. The agent's port.
exec qemu-system-x86_64 -name "$name" -m "$memory" \
    -chardev "socket,id=aerostat-qmp,path=$directory/$name.qmp,server=on,wait=off" \
    -mon chardev=aerostat-qmp,mode=control \
    -device virtio-balloon,deflate-on-oom=on \
    -device virtio-serial-pci,id=aerostat-serial \
    -chardev "socket,id=aerostat-agent,path=$directory/$name.agent,server=on,wait=off" \
    -device virtserialport,id=aerostat-port,bus=aerostat-serial.0,chardev=aerostat-agent,name=org.aerostat.memory.0 \
    "$@"
