#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Thirty days in virtual time, scenario by scenario, and of a published trace stretched to that
# length with spikes on top: no law of the policy broken, never above the budget.
#
# usage: virtual.sh
set -eu

cd "$(dirname "$0")/../.."
minutes=$((30 * 24 * 60))
failed=no

number() {
    echo "$result" | sed -n "s/^  \"$1\": \([0-9]*\),/\1/p"
}

run() {
    name=$1
    shift
    result=$(build/aerostat-sim run --duration ${minutes}min "$@")
    over=$(number max-over-bytes)
    if echo "$result" | grep -q '"laws-broken": \[\]' && [ "$over" -eq 0 ]; then
        laws=held
    else
        laws="BROKEN, $over bytes above the budget"
        failed=yes
    fi
    printf '%-12s 30 days: laws %s; %s decisions, %s commands, %s kills\n' \
        "$name" "$laws" "$(number decisions)" "$(number commands)" "$(number oom-kills)"
}

for scenario in idle spike staircase leak sawtooth cache-scan everyone dead-agent lying-agent reboot; do
    run $scenario --scenario $scenario
done
run trace --trace tests/sim/google-cluster-vm-memory.csv --guests 20 --hosts-of 20 --step 150min --spikes
[ $failed = no ]
