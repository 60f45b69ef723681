#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs test programs, some side by side, and adds up what they report.
#
# usage: run-tests.sh RESULTS LABEL PROGRAM...
#
# AEROSTAT_TEST_JOBS says how many side by side (default: as many as there are processors).
# AEROSTAT_TEST_WRAPPER, such as valgrind with its options, runs the programs.
#
# Prints a line a program and the whole output of one that fails. Appends "passed failed skipped name"
# to the file RESULTS for each, and which tests failed. A program that crashes, hangs or tests nothing
# counts as a failure.
set -u

results=$1
label=$2
shift 2
# Generous, for a machine with ten times as much to do as it can: a program that takes this long hangs.
deadline_s=${AEROSTAT_TEST_DEADLINE:-1800}

if [ $# -ne 1 ]; then
    printf '%s\n' "$@" | xargs -P "${AEROSTAT_TEST_JOBS:-$(nproc)}" -I '{}' "$0" "$results" "$label" '{}'
    exit
fi

name="$label/$(basename "$1")"
log=$(mktemp)
told=$(mktemp)
trap 'rm -f "$log" "$told"' EXIT
start=$(date +%s)
# shellcheck disable=SC2086 # the wrapper's options are words
G_DEBUG=fatal-criticals timeout -k 10 "$deadline_s" ${AEROSTAT_TEST_WRAPPER:-} "$1" >"$log" 2>&1
code=$?
seconds=$(($(date +%s) - start))
passed=$(grep -c '^\[       OK \]' "$log")
# Each is told twice: when it happens, and in a list at the end.
names=$(sed -n 's/^\[  \(FAILED \|SKIPPED\) \] \([a-z][^ ]*\).*/\2/p' "$log" | sort -u | tr '\n' ' ')
failed=$(grep '^\[  FAILED  \] [a-z]' "$log" | sort -u | wc -l)
skipped=$(grep '^\[  SKIPPED \] [a-z]' "$log" | sort -u | wc -l)
if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ] || [ $((passed + failed + skipped)) -eq 0 ]; then
    failed=$((failed + 1))
fi
echo "$passed $failed $skipped $name $names" >>"$results"
if [ "$failed" -gt 0 ] || [ "$skipped" -gt 0 ]; then
    status=1
    printf '%-44s %3d passed, %d failed, %d skipped, exit code %d, %d s\n' \
        "$name" "$passed" "$failed" "$skipped" "$code" "$seconds" >"$told"
    sed 's/^/    /' "$log" >>"$told"
else
    status=0
    printf '%-44s %3d passed, %d s\n' "$name" "$passed" "$seconds" >"$told"
fi
# One at a time, or their lines would mix.
flock "$results" cat "$told"
exit $status
