#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the rpm packages from a copy of the source tree. The same source gives the same bytes.
#
# usage: build-rpm.sh VERSION OUTDIR
#
# OUTDIR/*.rpm are written.
set -eu

# shellcheck source=packaging/build-common.sh
. "$(dirname "$0")/build-common.sh"

rm -rf "$outdir/work" "$outdir"/aerostat*
mkdir -p "$outdir/work/SOURCES"
tar -c --exclude-vcs --exclude=./build --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
    --numeric-owner --mode=go=rX,u+rw --transform="s|^\.|aerostat-$version|" . |
    gzip -n >"$outdir/work/SOURCES/aerostat-$version.tar.gz"

# Debian's rpmbuild knows of no packages that would satisfy BuildRequires, and one of its scripts says
# sh and means bash.
if command -v dpkg >/dev/null; then
    set -- --nodeps --define "__brp_compress bash /usr/lib/rpm/brp-compress"
else
    set --
fi
rpmbuild -bb --quiet "$@" \
    --define "aerostat_version $version" \
    --define "_topdir $outdir/work" \
    --define "_rpmdir $outdir" \
    --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "_buildhost reproducible" \
    --define "use_source_date_epoch_as_buildtime 1" \
    --define "clamp_mtime_to_source_date_epoch 1" \
    packaging/rpm/aerostat.spec
rm -rf "$outdir/work"
