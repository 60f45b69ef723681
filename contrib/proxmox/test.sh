#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The scripts for Proxmox VE with a fake qm that keeps a machine's configuration in a file, and the
# arguments they write with a real QEMU.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
qemu_pid=
trap '[ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null; rm -rf "$scratch"' EXIT
export AEROSTAT_DIRECTORY="$scratch/guests"
export PATH="$scratch/bin:$PATH"
export FAKE_QM="$scratch"

fail() {
    echo "test.sh: $*" >&2
    exit 1
}

mkdir "$scratch/bin"
cat >"$scratch/bin/qm" <<'QM'
#!/bin/sh
# config VMID | set VMID --KEY VALUE | set VMID --delete KEY
file=$FAKE_QM/$2.conf
[ -e "$file" ] || { echo "Configuration file '$file' does not exist" >&2; exit 2; }
case $1 in
config) cat "$file" ;;
set)
    key=${3#--}
    [ "$key" != delete ] || key=$4
    sed -i "/^$key: /d" "$file"
    [ "$3" = --delete ] || echo "$key: $4" >>"$file"
    ;;
esac
QM
chmod +x "$scratch/bin/qm"

proxmox() {
    "$here/aerostat-proxmox.sh" "$@"
}

# A machine that is enabled and disabled is what it was.
printf 'memory: 4096\nname: web\n' >"$scratch/100.conf"
sort "$scratch/100.conf" >"$scratch/before"
proxmox enable 100 >/dev/null
grep -q "^args: .*path=$AEROSTAT_DIRECTORY/100.qmp" "$scratch/100.conf" || fail "no monitor"
grep -q '^args: .*name=org.aerostat.memory.0' "$scratch/100.conf" || fail "no port"
grep -q '^shares: 0$' "$scratch/100.conf" || fail "Proxmox's ballooning is on"
grep -q '^hookscript: local:snippets/aerostat-hook.sh$' "$scratch/100.conf" || fail "no hook"
[ "$(proxmox status 100)" = "100: enabled" ] || fail "not shown as enabled"
cp "$scratch/100.conf" "$scratch/once"
proxmox enable 100 >/dev/null
sort "$scratch/once" >"$scratch/once.sorted"
sort "$scratch/100.conf" | cmp -s - "$scratch/once.sorted" || fail "enabled twice is not once"
proxmox disable 100 >/dev/null
sort "$scratch/100.conf" | cmp -s - "$scratch/before" || fail "not what it was before"
[ "$(proxmox status 100)" = "100: disabled" ] || fail "not shown as disabled"

# What the machine has of its own stays.
printf 'args: -cpu host,+x -foo "a b"\nhookscript: local:snippets/own.pl\n' >"$scratch/101.conf"
proxmox enable 101 | grep -q 'keeps its hookscript' || fail "another's hook is not told of"
grep -q '^args: -cpu host,+x -foo "a b" -chardev' "$scratch/101.conf" || fail "its args are gone"
proxmox disable 101 >/dev/null
grep -q '^args: -cpu host,+x -foo "a b"$' "$scratch/101.conf" || fail "its args are not its own"
grep -q '^hookscript: local:snippets/own.pl$' "$scratch/101.conf" || fail "its hook is gone"

# What cannot be is refused.
printf 'balloon: 0\n' >"$scratch/102.conf"
! proxmox enable 102 2>/dev/null || fail "enabled without a balloon"
! proxmox enable 999 2>/dev/null || fail "enabled a machine that is not there"
! proxmox enable '1;x' 2>/dev/null || fail "took rubbish for a VMID"
! proxmox enable 2>/dev/null || fail "enabled nothing"

# The hook makes the directory, sweeps, and never keeps a machine from starting.
"$here/aerostat-hook.sh" 100 pre-start
[ -d "$AEROSTAT_DIRECTORY" ] || fail "no directory"
touch "$AEROSTAT_DIRECTORY/100.qmp" "$AEROSTAT_DIRECTORY/100.agent" "$AEROSTAT_DIRECTORY/101.qmp"
"$here/aerostat-hook.sh" 100 post-start
[ -e "$AEROSTAT_DIRECTORY/100.qmp" ] || fail "swept away what is in use"
"$here/aerostat-hook.sh" 100 post-stop
[ "$(ls "$AEROSTAT_DIRECTORY")" = 101.qmp ] || fail "left something, or took another's"
AEROSTAT_DIRECTORY=/proc/none "$here/aerostat-hook.sh" 100 pre-start 2>/dev/null ||
    fail "keeps a machine from starting"
"$here/aerostat-hook.sh" ../x pre-start || fail "keeps a machine from starting"

# QEMU takes the arguments and puts the sockets where they are looked for.
proxmox enable 100 >/dev/null
# shellcheck disable=SC2046 # one argument a word, as Proxmox splits them
qemu-system-x86_64 -S -accel tcg -M q35 -display none -nodefaults -device virtio-balloon-pci \
    $(sed -n 's/^args: //p' "$scratch/100.conf") 2>"$scratch/qemu.log" &
qemu_pid=$!
tries=0
while [ ! -S "$AEROSTAT_DIRECTORY/100.qmp" ] || [ ! -S "$AEROSTAT_DIRECTORY/100.agent" ]; do
    kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU: $(cat "$scratch/qemu.log")"
    tries=$((tries + 1))
    [ "$tries" -lt 1200 ] || fail "QEMU made no sockets"
    sleep 0.1
done
[ "$(proxmox status 100)" = "100: enabled, its sockets are there" ] || fail "sockets not seen"
