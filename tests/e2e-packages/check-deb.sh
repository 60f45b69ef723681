#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the Debian packages, and once more elsewhere and otherwise; holds them against each other
# and against what Debian expects; rates the sandboxes of their services.
#
# Leaves build/deb, and build/deb-next with a later version to upgrade to.
set -eu

cd "$(dirname "$0")/../.."
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT

make -s deb deb-next

# Another place, time zone, language, mask and home give the same bytes.
(
    umask 077
    TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 HOME="$again" \
        packaging/build-deb.sh "$(make -s version)" "$again/elsewhere"
)
for package in build/deb/*.deb; do
    cmp "$package" "$again/elsewhere/$(basename "$package")"
done

lintian --allow-root --info --display-info --fail-on error,warning,info build/deb/*.changes

apparmor_parser --skip-kernel-load --skip-cache packaging/apparmor/*

# The threshold is ten times the exposure that systemd-analyze prints.
rate() {
    dpkg-deb -x build/deb/"$1"_*.deb "$again/$1"
    systemd-analyze security --offline=true --threshold="$3" \
        "$again/$1/lib/systemd/system/$2.service"
}
rate aerostat-agent aerostat-agent 10
rate aerostat-controller aerostat-controller 15
rate aerostat-controller-libvirt aerostat-libvirt 10
