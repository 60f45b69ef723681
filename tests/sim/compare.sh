#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compares the policies: the smallest budget of each as a multiple of what one who knows the future
# needs, and what it costs. Writes a table in Markdown; the full results go to RESULTS.
#
# usage: compare.sh [day|spikes]...   (default: both)
#
# SIM (build/aerostat-sim), RESULTS (build/sim), JOBS (1), POLICIES and, for a quick look, GUESTS
# (800 by day, 100 with spikes) and HOURS (24 and 4) come from the environment.
#
# A budget is looked for twice: kept at every moment, and with guests free to hold more than the
# host gives. Policies that give before they have taken do not pass the first.
set -eu

here=$(dirname "$0")
sim=${SIM:-build/aerostat-sim}
results=${RESULTS:-build/sim}
policies=${POLICIES:-aerostat aerostat-reclaim static poller mom proportional pi optimum}
mkdir -p "$results"

# What part $1 simulates.
options_of() {
    case $1 in
    day) echo "--guests ${GUESTS:-800} --hosts-of 40 --tick 1s --duration $((${HOURS:-24} * 60))min" ;;
    spikes)
        echo "--guests ${GUESTS:-100} --hosts-of 20 --tick 0.5s --spikes" \
            "--duration $((${HOURS:-4} * 60))min"
        ;;
    *)
        echo "compare.sh: '$1' is neither day nor spikes" >&2
        exit 2
        ;;
    esac
}

# Looks for the budget of policy $2 in part $1, with the further options $4; result in file $3.
find_budget() {
    mode=balance
    name=$2
    case $2 in *-reclaim) mode=reclaim name=${2%-reclaim} ;; esac
    # shellcheck disable=SC2046,SC2086 # options are words
    "$sim" run --trace "$here/google-cluster-vm-memory.csv" $(options_of "$1") --policy "$name" \
        --mode "$mode" --find-budget --resolution 0.005 --jobs "${JOBS:-1}" $4 >"$3"
}

# One row, of policy $2 in part $1 out of the results $3 and $4: the figures of the sum over all
# hosts, which stands first in a result.
row() {
    awk -F'[:,]' -v part="$1" -v policy="$2" '
        FNR == 1 { file++; in_sum = 0 }
        /^ "/ { in_sum = /"sum"/ }
        in_sum && /^  "/ { name = $1; gsub(/[ "]/, "", name); value[file, name] = $2 + 0 }
        function multiple(n) {
            if (value[n, "hosts-given-up"]) return "none"
            return sprintf("%.3f", value[n, "budget-permille-of-optimum"] / 1000)
        }
        END {
            printf "| %s | %s | %s | %s | %.1f | %.1f |\n", part, policy, multiple(1), multiple(2),
                value[2, "commands-per-1000-guest-hours"] / 1000, value[2, "max-over-bytes"] / 2 ^ 30
        }' "$3" "$4"
}

[ $# -gt 0 ] || set -- day spikes
echo "| load | policy | budget kept | budget not kept | commands a guest and hour | GiB over at most |"
echo "| --- | --- | --- | --- | --- | --- |"
for part in "$@"; do
    for policy in $policies; do
        kept=$results/$part-$policy-kept.json
        free=$results/$part-$policy-free.json
        find_budget "$part" "$policy" "$kept" ""
        find_budget "$part" "$policy" "$free" --allow-over
        row "$part" "$policy" "$kept" "$free"
    done
done
