#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the unit, property and integration tests run of the code, file by file and folder by folder:
# lines, and branches taken at least once. Goals: 90 % of protocol/'s lines, every branch of policy/.
#
# usage: coverage.sh [KIND...]     (default: unit property integration)
#
# Everything is built in build/coverage; *.gcov there show which lines and branches were not run.
set -eu

cd "$(dirname "$0")/.."
build=build/coverage
[ $# -gt 0 ] || set -- unit property integration
results=$(mktemp)
trap 'rm -f "$results"' EXIT

export CFLAGS="-O0 -g --coverage -fprofile-update=atomic" LDFLAGS="--coverage"
programs=$(for kind in "$@"; do make -s "list-$kind" BUILD=$build; done)
# shellcheck disable=SC2086 # a list of programs
make -s -j"$(nproc)" BUILD=$build all $programs
find $build -name '*.gcda' -delete
# shellcheck disable=SC2086
AEROSTAT_BUILD=$build tests/run-tests.sh "$results" coverage $programs >"$build/tests.log" ||
    { cat "$build/tests.log" && exit 1; }

cd $build
rm -f ./*.gcov
# gcov looks for the sources from here.
ln -sfn ../../protocol ../../agent ../../host-controller .
find obj/protocol obj/agent obj/host-controller -name '*.gcno' | sort |
    xargs gcov --branch-counts --branch-probabilities --preserve-paths >gcov.log 2>/dev/null
# Of the pairs "File 'NAME'" and what follows it; headers and the system's files are left out.
awk '
    function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
    function share(part, of) { return of > 0 ? sprintf("%5.1f %%", 100 * part / of) : "      -" }
    function row(name, l, lines, b, branches) {
        return sprintf("%-44s %s of %5d lines  %s of %5d branches", name, share(l, lines), lines,
                       share(b, branches), branches)
    }
    /^File / { split($0, part, "\047"); name = part[2]; wanted = name ~ /^[a-z].*\.c$/; b = n = 0 }
    /^Lines executed/ { split($0, part, /[:%]| of /); lines = part[4]; l = part[2] * lines / 100 }
    /^Taken at least once/ { split($0, part, /[:%]| of /); n = part[4]; b = part[2] * n / 100 }
    /^Creating/ && wanted {
        print row(name, l, lines, b, n)
        f = folder(name); L[f] += l; LS[f] += lines; B[f] += b; BS[f] += n
        wanted = 0
    }
    END { print ""; fflush(); for (f in L) print row(f "/", L[f], LS[f], B[f], BS[f]) | "sort" }
' gcov.log
