#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Static checks: form, architecture, analysers.
#
# usage: lint.sh [format|architecture|cppcheck|clang-tidy|shell|man|install]...   (default: all)
set -eu

cd "$(dirname "$0")/.."

c_files() {
    find agent host-controller protocol tests -name '*.[ch]' | sort
}

compile_flags() {
    pkg-config --cflags glib-2.0 jansson libmicrohttpd | tr ' ' '\n'
    echo -DHAVE_MICROHTTPD
    echo -DHAVE_NCURSES
}

fail() {
    echo "$*" >&2
    exit 1
}

# clang-format decides the form; files stay short enough to be read.
lint_format() {
    c_files | xargs clang-format --dry-run --Werror
    c_files | xargs wc -l | awk '$2 != "total" && $1 > 520 { print $2 ": " $1 " lines"; bad = 1 }
                                 END { exit bad }' || fail "files above 500 lines"
    if grep -rnE '[[:space:]]+$' --include='*.[ch]' --include='*.sh' --include='*.md' --include='*.json' \
        agent host-controller protocol tests docs packaging README.md; then
        fail "trailing blanks"
    fi
}

# Includes of files below $1 that match none of the given prefixes.
check_includes() {
    from=$1
    shift
    allowed=$(printf '|%s' "$@")
    bad=$(grep -rnE '^#include "' "$from" --include='*.[ch]' |
        grep -vE "#include \"(${allowed#|})" || true)
    [ -z "$bad" ] || fail "an arrow that must not be:
$bad"
}

# agent -> protocol <- host-controller -> policy; policy sees nothing and calls nothing.
lint_architecture() {
    check_includes protocol protocol/
    check_includes agent agent/ protocol/
    check_includes host-controller host-controller/ protocol/
    check_includes host-controller/policy host-controller/policy/
    # Of what the controller does around the policy, the journal sees its configuration's words alone.
    check_includes host-controller/journal host-controller/journal/ host-controller/policy/ \
        host-controller/config.h protocol/
    # The simulator drives the policy and the balloon's state machine, both pure, reads journals, and
    # knows nothing else.
    check_includes host-controller/sim host-controller/sim/ host-controller/policy/ \
        host-controller/journal/ host-controller/config.h \
        host-controller/balloon.h host-controller/backoff.h protocol/
    # The bridge is no part of the controller: it reads its configuration and waits as it does.
    check_includes host-controller/libvirt host-controller/libvirt/ host-controller/config.h \
        host-controller/backoff.h protocol/
    # And the controller knows nothing of libvirt.
    if grep -rlE '#include [<"](libvirt|host-controller/libvirt)/' agent host-controller protocol |
        grep -v '^host-controller/libvirt/'; then
        fail "only host-controller/libvirt/ knows libvirt"
    fi
    # config.h for the built-in locations alone.
    check_includes host-controller/ctl host-controller/ctl/ host-controller/config.h protocol/
    if grep -rnE '#include <(unistd|fcntl|poll|sys/|glib-unix|time)' protocol --include='*.[ch]' |
        grep -v '^protocol/transport/'; then
        fail "protocol/ does no I/O outside protocol/transport/"
    fi
    if grep -rhE '#include <' host-controller/policy | grep -vE '<std(bool|def|int)\.h>'; then
        fail "policy/ includes more than plain C"
    fi
    make -s build/libcontroller.a
    # What the compiler itself may call (copying and clearing of structs) is no impurity.
    outside=$(nm -u build/obj/host-controller/policy/*.o | awk '/ U / { print $2 }' |
        grep -vE '^(policy_|memcpy$|memset$|memmove$|_GLOBAL_OFFSET_TABLE_$)' || true)
    [ -z "$outside" ] || fail "policy/ calls: $outside"
}

lint_cppcheck() {
    cppcheck --quiet --std=c11 --library=gtk --error-exitcode=1 --inline-suppr -j "$(nproc)" -I . \
        --enable=warning,performance,portability -D__GNUC__ -DAEROSTAT_VERSION='"0"' \
        --suppress=missingInclude --suppress=unknownMacro \
        agent host-controller protocol tests
}

lint_clang_tidy() {
    # shellcheck disable=SC2046 # one flag a word
    find agent host-controller protocol -name '*.c' | sort |
        xargs -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet "$@" -- -std=gnu11 -D_GNU_SOURCE \
            -DAEROSTAT_VERSION="\"0\"" -I. '"$(compile_flags | tr '\n' ' ')"' 2>/dev/null' sh
}

lint_shell() {
    find . -path ./build -prune -o -name '*.sh' -exec shellcheck {} +
    shellcheck .ci/run packaging/deb/*.postinst packaging/deb/*.prerm packaging/deb/*.postrm
}

lint_man() {
    for page in docs/man/*.scd; do
        scdoc <"$page" >/dev/null || fail "$page"
    done
}

# What `make install` writes, and with which modes: packages and people count on it.
lint_install() {
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    make -s install DESTDIR="$root" PREFIX=/usr
    find "$root" -type f -printf '%m /%P\n' | LC_ALL=C sort -k2 |
        diff -u tests/installed-files.txt - || fail "other files than tests/installed-files.txt lists"
    # The services run the programs that are installed with them.
    make -s install DESTDIR="$root/other" PREFIX=/opt/aerostat
    sed -n 's/^ExecStart=//p' "$root"/other/opt/aerostat/lib/systemd/system/*.service |
        while read -r program; do
            [ -x "$root/other$program" ] || fail "a service runs $program, which is not installed"
        done
}

[ $# -gt 0 ] || set -- format architecture cppcheck clang-tidy shell man install
for part in "$@"; do
    "lint_$(echo "$part" | tr - _)"
done
