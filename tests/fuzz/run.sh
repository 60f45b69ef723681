#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs one fuzzer for FUZZ_SECONDS (default 4) over its corpus in tests/fuzz/corpus/NAME, with the
# words of tests/fuzz/dictionaries/NAME.dict where there are any; what it finds is kept below
# build/fuzz/.
#
# usage: run.sh PROGRAM [OPTION...]     options of libFuzzer, such as -runs=1000000
set -eu

cd "$(dirname "$0")/../.."
program=$1
shift
name=$(basename "$program")
found=build/fuzz/$name
dictionary=tests/fuzz/dictionaries/$name.dict
mkdir -p "$found"
if [ $# -eq 0 ] && [ -z "${FUZZ_SECONDS:-}" ]; then
    # The same short run each time: what it finds is a change's doing, not luck's.
    set -- -seed=1
fi
if [ -e "$dictionary" ]; then
    set -- "-dict=$dictionary" "$@"
fi
# So many things can happen to a host that to keep count of the rare ones takes a third of its time.
if [ "$name" = fuzz-host ]; then
    set -- -entropic=0 "$@"
fi
"$program" -max_total_time="${FUZZ_SECONDS:-4}" -max_len=16384 -rss_limit_mb=512 -timeout=20 \
    -print_final_stats=1 -verbosity=1 -artifact_prefix="$found/" "$@" "$found" \
    "tests/fuzz/corpus/$name"
