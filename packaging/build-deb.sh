#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the Debian packages from a copy of the source tree. The same source gives the same bytes.
#
# usage: build-deb.sh VERSION OUTDIR
#
# OUTDIR/*.deb, *.buildinfo and *.changes are written; OUTDIR/source is the copy. SOURCE_DATE_EPOCH
# is the date of the packages; default: that of the last commit, or of CHANGELOG.md.
set -eu

version=$1
mkdir -p "$2"
outdir=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

rm -rf "$outdir/source" "$outdir"/aerostat*
mkdir "$outdir/source"
tar -c --exclude-vcs --exclude=./build . | tar -x -C "$outdir/source"
cd "$outdir/source"
cp -r packaging/deb debian
maintainer=$(sed -n 's/^Maintainer: //p' debian/control)
cat >debian/changelog <<END
aerostat ($version-1) unstable; urgency=medium

  * Version $version: see /usr/share/doc/aerostat-*/changelog.gz.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
dpkg-buildpackage --build=binary --unsigned-changes
