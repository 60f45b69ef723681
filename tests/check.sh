#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every check there is, stage by stage; a stage that fails does not keep the others from running.
#
# usage: check.sh [STAGE...]     stages: lint quick san e2e san-e2e fuzz (default: all of these)
#                                and packages, valgrind, faults
#
# The last line says how much passed, failed and was skipped over everything that ran; before it stands
# what did not pass.
set -u

cd "$(dirname "$0")/.." || exit 1
jobs=$(nproc)
results=$(mktemp)
trap 'rm -f "$results"' EXIT
san=address,undefined
san_build=build/san-address-undefined
# A small quarantine, so that tests can tell what a program keeps from what the sanitizer keeps.
ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export ASAN_OPTIONS=$ASAN_OPTIONS:quarantine_size_mb=1:thread_local_quarantine_size_kb=64
export UBSAN_OPTIONS=print_stacktrace=1

# Runs a command as one check of its own.
check() {
    what=$1
    shift
    start=$(date +%s)
    if output=$("$@" 2>&1); then
        echo "1 0 0" >>"$results"
        printf '%-44s %3d passed, %d s\n' "$what" 1 $(($(date +%s) - start))
    else
        echo "0 1 0 $what" >>"$results"
        printf '%-44s   0 passed, 1 failed\n%s\n' "$what" "$output"
    fi
}

fail() {
    echo "0 1 0 $1" >>"$results"
    echo "$1"
}

# Builds the programs and test programs of the given kinds, and runs them.
run() {
    label=$1
    build=$2
    shift 2
    for kind in "$@"; do
        programs=$(make -s "list-$kind" BUILD="$build")
        if [ -z "$programs" ]; then
            fail "$label$kind: there is nothing to run"
            continue
        fi
        # What stands on fakes waits for most of its time, and for guests for half of it.
        case $kind in
        integration) side_by_side=$((2 * jobs)) ;;
        e2e) side_by_side=$((jobs + 1)) ;;
        *) side_by_side=$jobs ;;
        esac
        # shellcheck disable=SC2086 # the list is split on purpose
        if make -s -j"$jobs" BUILD="$build" ${san_flag:-} all $programs; then
            # shellcheck disable=SC2086
            AEROSTAT_BUILD=$build AEROSTAT_TEST_JOBS=$side_by_side \
                tests/run-tests.sh "$results" "$label$kind" $programs
        else
            fail "$label$kind: the build failed"
        fi
    done
}

stage_lint() {
    check "build with gcc, warnings are errors" \
        make -j"$jobs" CC=gcc WERROR=1 BUILD=build/gcc all tests
    check "build with clang, warnings are errors" \
        make -j"$jobs" CC=clang WERROR=1 BUILD=build/clang all tests
    for part in format architecture cppcheck clang-tidy shell man install; do
        check "lint: $part" tests/lint.sh "$part"
    done
}

stage_quick() {
    run "" build unit property integration
}

stage_san() {
    san_flag="SAN=$san"
    run "sanitizers: " "$san_build" unit property integration
    san_flag=
}

stage_e2e() {
    run "" build e2e
    check "contrib: proxmox, with a fake qm" contrib/proxmox/test.sh
}

stage_san_e2e() {
    san_flag="SAN=$san"
    run "sanitizers: " "$san_build" e2e
    san_flag=
}

# A part of e2e, for longer settings of its own (tests/e2e/fault-scene.h).
stage_faults() {
    make -s -j"$jobs" all
    for name in guest host kill; do
        program=build/tests/e2e/test-faults-$name
        make -s "$program" && AEROSTAT_BUILD=build tests/run-tests.sh "$results" faults "$program"
    done
}

stage_fuzz() {
    make -s -j"$jobs" fuzz-build || fail "fuzz: the build failed"
    for program in $(make -s list-fuzz); do
        check "fuzz: $(basename "$program"), ${FUZZ_SECONDS:-4} s" tests/fuzz/run.sh "$program"
    done
}

# Reading what was never written is what the sanitizers do not see. test-agent-allocations has a
# malloc() of its own, which valgrind's would hide.
stage_valgrind() {
    programs=$(make -s list-unit | tr ' ' '\n' | grep -v '/test-agent-allocations$')
    # shellcheck disable=SC2086 # a list of programs
    make -s -j"$jobs" all $programs || fail "valgrind: the build failed"
    # shellcheck disable=SC2086
    AEROSTAT_TEST_WRAPPER="valgrind -q --error-exitcode=99 --leak-check=full" \
        tests/run-tests.sh "$results" "valgrind: unit" $programs
}

stage_packages() {
    check "deb: built twice, lintian, sandboxes" tests/e2e-packages/check-deb.sh
    run "" build e2e-packages
    check "rpm: built twice, rpmlint, in a root of its own" tests/e2e-packages/check-rpm.sh
}

[ $# -gt 0 ] || set -- lint quick san e2e san-e2e fuzz
for stage in "$@"; do
    case $stage in
    lint | quick | san | e2e | san-e2e | fuzz | packages | valgrind | faults) ;;
    *)
        echo "check.sh: there is no stage '$stage'" >&2
        exit 2
        ;;
    esac
done
for stage in "$@"; do
    echo "--- $stage"
    "stage_$(echo "$stage" | tr - _)"
done

awk '{ passed += $1; failed += $2; skipped += $3 }
     $2 + $3 > 0 { sub(/^([0-9]+ )+/, ""); print "not passed: " $0 }
     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
           exit failed + skipped > 0 || passed == 0 }' "$results"
