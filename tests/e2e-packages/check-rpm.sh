#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the rpm packages, and once more elsewhere; holds them against each other, against rpmlint
# and against what `make install` writes; then installs, upgrades and removes them in a root of
# their own, and runs the programs from there. The root is the Debian guest's (build-image.sh), so
# dependencies are looked at but not resolved.
set -eu

cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

fail() {
    echo "$*" >&2
    exit 1
}

# Runs a command while the root has the kernel's files; the mount is seen by nobody else.
with_proc() {
    # shellcheck disable=SC2016 # expanded by that shell
    unshare --mount sh -c 'mount --bind /proc "$0/proc" && exec "$@"' "$root" "$@"
}

# rpm with the root's own database. Scriptlets run in the root, with no systemd and no udev alive.
rpm_in_root() {
    with_proc rpm --root "$root" --nodeps "$@"
}

run_in_root() {
    with_proc chroot "$root" "$@"
}

# The two packages' own files, as `make install` would have them.
files_of() {
    rpm -qp --qf '[%{FILEMODES:perms} /%{FILENAMES}\n]' "$@" 2>/dev/null |
        grep -v '^[dl]' | sed 's|//|/|; s/\.gz$//' | awk '{ print $2 }' |
        grep -v '^/usr/share/\(doc\|licenses\)/' | LC_ALL=C sort
}

make -s rpm rpm-next
(
    umask 077
    TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 packaging/build-rpm.sh "$(make -s version)" "$work/again"
)
for package in build/rpm/*.rpm; do
    cmp "$package" "$work/again/$(basename "$package")"
done

rpmlint --config packaging/rpm/rpmlint.toml packaging/rpm/aerostat.spec build/rpm/*.rpm \
    >"$work/rpmlint" 2>&1 || { cat "$work/rpmlint" && exit 1; }
if grep ': [EW]: ' "$work/rpmlint"; then
    fail "rpmlint complains"
fi

awk '{ print $2 }' tests/installed-files.txt | LC_ALL=C sort >"$work/expected"
files_of build/rpm/*.rpm | diff -u "$work/expected" - || fail "other files than make install writes"
for library in libglib-2.0.so.0 libjansson.so.4 libproc2.so.0; do
    rpm -qp --requires build/rpm/aerostat-agent-*.rpm | grep -q "^$library" ||
        fail "the agent does not require $library"
done

make -s build/debian/guest/initrd.gz >/dev/null
mkdir -p "$root"
(cd "$root" && cpio -idm --quiet --no-absolute-filenames) <build/debian/guest/base.cpio
rpm_in_root --install build/rpm/aerostat-*.rpm
grep -q '^aerostat-agent:' "$root/etc/passwd" || fail "no user for the agent"
grep -q '^aerostat:' "$root/etc/group" || fail "no group for the controller"
[ -d "$root/run/aerostat" ] || fail "no folder for the control socket"
run_in_root aerostat-agent --report | grep -q '"available"' || fail "the agent does not report"
run_in_root aerostat-controller --check-config

echo '# mine' >>"$root/etc/aerostat/agent.conf"
rpm_in_root --upgrade build/rpm-next/aerostat-*.rpm
run_in_root aerostat-agent --version | grep -q '+next$' || fail "not upgraded"
rpm_in_root --upgrade --oldpackage build/rpm/aerostat-*.rpm
[ "$(tail -n 1 "$root/etc/aerostat/agent.conf")" = '# mine' ] || fail "agent.conf was replaced"

rpm_in_root --erase aerostat-agent aerostat-controller aerostat-controller-libvirt
# Users stay, as is the custom with rpm.
left=$(cd "$root" && find etc usr -path '*aerostat*' | LC_ALL=C sort)
[ "$left" = "etc/aerostat
etc/aerostat/agent.conf.rpmsave" ] || fail "left behind: $left"
