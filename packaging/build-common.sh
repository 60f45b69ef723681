#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# How every package build begins; read in by build-deb.sh and build-rpm.sh with their arguments. Sets
# version and outdir (absolute, made), goes to the top of the tree, and sets SOURCE_DATE_EPOCH, the
# date of the packages, unless it is given: that of the last commit, or of CHANGELOG.md.
# shellcheck disable=SC2034 # the variables are for who reads this in
set -eu

version=$1
mkdir -p "$2"
outdir=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH
