#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the Debian packages from a copy of the source tree. The same source gives the same bytes.
#
# usage: build-deb.sh VERSION OUTDIR
#
# OUTDIR/*.deb, *.buildinfo and *.changes are written; OUTDIR/source is the copy.
set -eu

# shellcheck source=packaging/build-common.sh
. "$(dirname "$0")/build-common.sh"

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
