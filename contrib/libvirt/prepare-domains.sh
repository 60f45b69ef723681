#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Gives existing domains what aerostat needs: the agent's channel, and a balloon from which the guest
# takes memory back by itself before it runs out (autodeflate). What is there already stays as it is,
# so it may be run again at any time.
#
# usage: prepare-domains.sh [--connect URI] [--dry-run] --all|DOMAIN...
#
# Says for each domain what is done, and what of it waits for the domain to be shut down and started
# again (a reboot within the guest is not enough).
set -eu

usage() {
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 2
}

channel=org.aerostat.memory.0
uri=qemu:///system
dry_run=no
all=no
while [ $# -gt 0 ]; do
    case $1 in
    --connect)
        [ $# -ge 2 ] || usage
        uri=$2
        shift
        ;;
    --dry-run) dry_run=yes ;;
    --all) all=yes ;;
    -*) usage ;;
    *) break ;;
    esac
    shift
done
if [ $all = yes ]; then
    [ $# -eq 0 ] || usage
else
    [ $# -gt 0 ] || usage
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf "<channel type='unix'><target type='virtio' name='%s'/></channel>\n" "$channel" \
    >"$work/channel.xml"

run() {
    virsh --quiet --connect "$uri" "$@"
}

# Does something with the domain, unless that is only to be said.
change() {
    [ $dry_run = yes ] || run "$@" >"$work/output" 2>&1
}

has_channel() {
    grep -q "name='$channel'" "$1"
}

# The channel for the next start, and at once if the domain runs.
add_channel() {
    if ! has_channel "$work/next"; then
        change attach-device "$1" "$work/channel.xml" --config || return 1
        echo "$1: the channel is added"
    fi
    if [ -e "$work/live" ] && ! has_channel "$work/live"; then
        if change attach-device "$1" "$work/channel.xml" --live; then
            echo "$1: the channel is plugged in"
        else
            echo "$1: the channel cannot be plugged in now: it is there after the next start"
        fi
    fi
}

# No balloon can change while a domain runs.
set_balloon() {
    if grep -q "<memballoon model='virtio[^>]* autodeflate='on'" "$work/next"; then
        return
    fi
    run dumpxml --inactive --security-info "$1" |
        sed -e "s/ autodeflate='off'//" \
            -e "s/<memballoon model='none'/<memballoon model='virtio'/" \
            -e "s/<memballoon model='virtio[^']*'/& autodeflate='on'/" >"$work/define"
    grep -q "autodeflate='on'" "$work/define" || return 1
    change define "$work/define" || return 1
    if [ -e "$work/live" ]; then
        echo "$1: the balloon is set to autodeflate, from the next start on"
    else
        echo "$1: the balloon is set to autodeflate"
    fi
}

prepare() {
    rm -f "$work/live" "$work/output"
    run dumpxml --inactive "$1" >"$work/next" 2>"$work/output" || return 1
    if [ "$(LC_ALL=C run domstate "$1")" != "shut off" ]; then
        run dumpxml "$1" >"$work/live"
    fi
    said=$(add_channel "$1" && set_balloon "$1") || {
        printf '%s\n' "$said"
        return 1
    }
    printf '%s\n' "${said:-$1: nothing to do}"
}

if [ $all = yes ]; then
    run list --all --name >"$work/names"
else
    printf '%s\n' "$@" >"$work/names"
fi
status=0
while IFS= read -r name <&3; do
    [ -n "$name" ] || continue
    prepare "$name" || {
        echo "$name: failed: $(cat "$work/output" 2>/dev/null)" >&2
        status=1
    }
done 3<"$work/names"
if [ $dry_run = yes ]; then
    echo "nothing was changed (--dry-run)"
fi
exit $status
