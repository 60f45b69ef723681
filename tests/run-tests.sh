#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs test programs one after another and adds up what they report.
#
# usage: run-tests.sh RESULTS LABEL PROGRAM...
#
# Prints a line a program and the whole output of one that fails. Appends "passed failed skipped" to
# the file RESULTS for each. A program that crashes, hangs or tests nothing counts as a failure.
set -u

results=$1
label=$2
shift 2
# Generous: a program that takes this long hangs.
deadline_s=${AEROSTAT_TEST_DEADLINE:-600}
status=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for program in "$@"; do
    name="$label/$(basename "$program")"
    start=$(date +%s)
    G_DEBUG=fatal-criticals timeout -k 10 "$deadline_s" "$program" >"$log" 2>&1
    code=$?
    seconds=$(($(date +%s) - start))
    passed=$(grep -c '^\[       OK \]' "$log")
    # Each is told twice: when it happens, and in a list at the end.
    failed=$(grep '^\[  FAILED  \] [a-z]' "$log" | sort -u | wc -l)
    skipped=$(grep '^\[  SKIPPED \] [a-z]' "$log" | sort -u | wc -l)
    if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ] || [ $((passed + failed + skipped)) -eq 0 ]; then
        failed=$((failed + 1))
    fi
    echo "$passed $failed $skipped" >>"$results"
    if [ "$failed" -gt 0 ] || [ "$skipped" -gt 0 ]; then
        status=1
        printf '%-44s %3d passed, %d failed, %d skipped, exit code %d, %d s\n' \
            "$name" "$passed" "$failed" "$skipped" "$code" "$seconds"
        sed 's/^/    /' "$log"
    else
        printf '%-44s %3d passed, %d s\n' "$name" "$passed" "$seconds"
    fi
done
exit $status
