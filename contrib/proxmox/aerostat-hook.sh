#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Hook script of Proxmox VE for machines that aerostat looks after: makes the directory that QEMU
# puts its sockets in, and sweeps away what a killed QEMU left there.
#
# usage, by Proxmox: aerostat-hook.sh VMID pre-start|post-start|pre-stop|post-stop
#
# It never fails: a machine is to start whether or not aerostat is there.
directory=${AEROSTAT_DIRECTORY:-/run/aerostat/guests}

case $1 in
'' | *[!0-9]*) exit 0 ;;
esac
case $2 in
pre-start)
    mkdir -p "$directory" || echo "aerostat: $directory cannot be made" >&2
    rm -f "$directory/$1.qmp" "$directory/$1.agent"
    ;;
post-stop)
    rm -f "$directory/$1.qmp" "$directory/$1.agent"
    ;;
esac
exit 0
