#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing on Debian, Ubuntu or a Fedora-like system to build, check and demonstrate
# aerostat. When nothing is missing it says nothing and asks no network.
#
#   install-dependencies.sh [--build-only | --packages | --package-checks | --valgrind] [--check]
#
#   --build-only  only what building the programs needs
#   --packages    what building them and making deb and rpm packages needs
#   --package-checks   everything, and what checking those packages needs
#   --valgrind    what building, testing and valgrind need
#   --check       install nothing; list what is missing and exit with status 1 if anything is
#
# Tried on Debian 12. The names for other systems follow their package lists.

set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

# One need a line: group, test, Debian's packages, Fedora's packages. A test is a command to be
# found (cmd), a library to compile against (lib, alternatives with commas) or a function below
# (fn). Packages are separated by commas; of alternatives, with slashes, the first that the system
# knows is taken. "-": comes with something else, or is not needed there.
needs() {
    cat <<'NEEDS'
build cmd:gcc gcc,libc6-dev gcc
build cmd:make make make
build cmd:pkg-config pkgconf/pkg-config pkgconf-pkg-config
build lib:glib-2.0 libglib2.0-dev glib2-devel
build lib:jansson libjansson-dev jansson-devel
build lib:libmicrohttpd libmicrohttpd-dev libmicrohttpd-devel
build lib:ncursesw libncurses-dev ncurses-devel
build lib:libproc2,libprocps libproc2-dev/libprocps-dev procps-ng-devel
check cmd:clang clang clang
check fn:clang_runtime CLANG_RUNTIME compiler-rt
check fn:gcc_sanitizers gcc libasan,libubsan
check lib:cmocka libcmocka-dev libcmocka-devel
check lib:libvirt libvirt-dev libvirt-devel
check cmd:clang-format clang-format clang-tools-extra
check cmd:clang-tidy clang-tidy clang-tools-extra
check cmd:cppcheck cppcheck cppcheck
check cmd:shellcheck shellcheck ShellCheck
check cmd:scdoc scdoc scdoc
check cmd:column bsdextrautils/bsdmainutils util-linux
guest cmd:qemu-system-x86_64 qemu-system-x86 qemu-system-x86-core
guest fn:static_busybox busybox-static busybox
guest fn:static_libc libc6-dev glibc-static
guest cmd:depmod kmod kmod
guest cmd:modprobe kmod kmod
guest cmd:cpio cpio cpio
guest cmd:gzip gzip gzip
guest cmd:mksquashfs squashfs-tools squashfs-tools
guest cmd:xz xz-utils xz
guest cmd:zstd zstd zstd
guest cmd:flock util-linux util-linux-core
guest fn:dnf_download - dnf-plugins-core
guest cmd:virsh libvirt-clients libvirt-client
guest fn:libvirt_qemu libvirt-daemon-driver-qemu libvirt-daemon-driver-qemu
guest cmd:libvirtd libvirt-daemon libvirt-daemon
guest cmd:virtlogd libvirt-daemon libvirt-daemon-log
guest cmd:setpriv util-linux util-linux
packages cmd:dpkg-buildpackage dpkg-dev dpkg-dev
packages cmd:dh debhelper debhelper
packages cmd:rpmbuild rpm rpm-build
packages cmd:scdoc scdoc scdoc
packages lib:libvirt libvirt-dev libvirt-devel
valgrind cmd:valgrind valgrind valgrind
package-checks cmd:lintian lintian -
package-checks cmd:rpmlint rpmlint rpmlint
package-checks cmd:debootstrap debootstrap debootstrap
package-checks cmd:apparmor_parser apparmor -
package-checks cmd:systemd-analyze systemd systemd
NEEDS
}

# --- tests ----------------------------------------------------------------------------------------

clang_runtime() {
    command -v clang >/dev/null || return 1
    compgen -G "$(clang -print-resource-dir)/lib/*/libclang_rt.fuzzer*" >/dev/null
}

gcc_sanitizers() {
    command -v gcc >/dev/null && [ -e "$(gcc -print-file-name=libasan.so)" ] &&
        [ -e "$(gcc -print-file-name=libubsan.so)" ]
}

static_busybox() {
    command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1
}

static_libc() {
    command -v gcc >/dev/null && [ -e "$(gcc -print-file-name=libc.a)" ]
}

# libvirt's driver of QEMU, which virsh loads into itself; no daemon is needed.
libvirt_qemu() {
    compgen -G "/usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so" >/dev/null ||
        compgen -G "/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so" >/dev/null
}

# Kernels are downloaded with a plugin of dnf.
dnf_download() {
    local plugin="/usr/lib/python3*/site-packages/dnf-plugins/download.py"
    ! command -v dnf >/dev/null || command -v dnf5 >/dev/null || compgen -G "$plugin" >/dev/null
}

library_is_there() {
    command -v pkg-config >/dev/null || return 1
    local name
    for name in ${1//,/ }; do
        ! pkg-config --exists "$name" || return 0
    done
    return 1
}

is_there() {
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    lib:*) library_is_there "${1#lib:}" ;;
    fn:*) "${1#fn:}" ;;
    esac
}

# Prints the lines of needs() that are not met.
missing() {
    local group test rest
    while read -r group test rest; do
        [[ " $groups " = *" $group "* ]] || continue
        is_there "$test" || echo "$group $test $rest"
    done < <(needs)
}

# --- installing -----------------------------------------------------------------------------------

fail() {
    echo "install-dependencies: $*" >&2
    exit 1
}

# clang's runtime has a package of clang's version, and its name has changed over time.
clang_runtime_packages() {
    local version
    version=$(clang -dumpversion 2>/dev/null || apt-cache show clang |
        sed -n 's/^Version: [0-9]*:*\([0-9]*\).*/\1/p' | head -n 1)
    echo "libclang-rt-${version%%.*}-dev/libclang-common-${version%%.*}-dev"
}

# Of the alternatives in $1 prints the first that apt knows.
apt_choose() {
    local name
    for name in ${1//\// }; do
        if [ -n "$(apt-cache search --names-only "^${name//+/\\+}\$")" ]; then
            echo "$name"
            return
        fi
    done
    fail "apt knows none of these packages: $1"
}

# Runs a command and keeps what it says to itself, unless it fails. On a terminal the last line is
# shown while it runs.
quietly() {
    local log status=0
    log=$(mktemp)
    if [ -t 1 ]; then
        "$@" 2>&1 | tee "$log" | while IFS= read -r line; do
            printf '\r\033[K  %.70s' "$line"
        done || status=$?
        printf '\r\033[K'
    else
        "$@" >"$log" 2>&1 || status=$?
    fi
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

install_with_apt() {
    local names=() name entry
    echo "install-dependencies: refreshing package lists"
    quietly "${as_root[@]}" apt-get -q update
    for entry in $(echo "$1" | awk '$3 != "-" { print $3 }' | tr ',' '\n' | sort -u); do
        [ "$entry" != CLANG_RUNTIME ] || entry=$(clang_runtime_packages)
        name=$(apt_choose "$entry")
        names+=("$name")
    done
    echo "install-dependencies: installing ${names[*]}"
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${names[@]}"
}

install_with_dnf() {
    local names
    mapfile -t names < <(echo "$1" | awk '$4 != "-" { print $4 }' | tr ',' '\n' | sort -u)
    echo "install-dependencies: installing ${names[*]}"
    quietly "${as_root[@]}" dnf -y install --setopt=install_weak_deps=False "${names[@]}"
}

# --- what has to be done --------------------------------------------------------------------------

groups="build check guest"
check=no
for option in "$@"; do
    case $option in
    --build-only) groups="build" ;;
    --packages) groups="build packages" ;;
    --valgrind) groups="build check valgrind" ;;
    --package-checks) groups="build check guest packages package-checks" ;;
    --check) check=yes ;;
    *)
        echo "usage: install-dependencies.sh [--build-only | --packages | --package-checks | --valgrind] [--check]" >&2
        exit 2
        ;;
    esac
done

lacking=$(missing)
[ -n "$lacking" ] || exit 0
lacking_names=$(echo "$lacking" | awk '{ sub(/^[a-z]*:/, "", $2); print $2 }' | tr '\n' ' ')
if [ "$check" = yes ]; then
    echo "missing: $lacking_names"
    exit 1
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
        fail "missing: ${lacking_names}- run this script as root, there is no sudo"
    as_root=(sudo)
fi
if command -v apt-get >/dev/null; then
    install_with_apt "$lacking"
elif command -v dnf >/dev/null; then
    install_with_dnf "$lacking"
else
    fail "missing: ${lacking_names}- neither apt-get nor dnf is here, install them by hand"
fi
lacking=$(missing)
if [ -n "$lacking" ]; then
    fail "still missing after the installation:" "$(echo "$lacking" | cut -d' ' -f2 | tr '\n' ' ')"
fi
