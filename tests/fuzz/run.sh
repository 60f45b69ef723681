#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs one fuzzer for FUZZ_SECONDS (default 4) over its corpus in tests/fuzz/corpus/NAME, with the
# words of tests/fuzz/dictionaries/NAME.dict; what it finds is kept below build/fuzz/.
#
# usage: run.sh PROGRAM
set -eu

cd "$(dirname "$0")/../.."
name=$(basename "$1")
found=build/fuzz/$name
mkdir -p "$found"
"$1" -max_total_time="${FUZZ_SECONDS:-4}" -max_len=16384 -rss_limit_mb=512 -timeout=5 \
    -dict="tests/fuzz/dictionaries/$name.dict" -print_final_stats=1 -verbosity=1 -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/$name"
