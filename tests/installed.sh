#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What "make install" must put in its place.
#   tests/installed.sh DESTDIR [SOURCE]      (configured with the default prefix /usr; SOURCE has the pages' list)
dest=$1 src=${2:-$(dirname "$0")/..}
[ -d "$dest/usr" ] || { echo "usage: $0 DESTDIR [SOURCE]" >&2; exit 2; }
bad=0
there() { # FILE...
	for f; do [ -e "$dest$f" ] || { echo "not installed: $f"; bad=1; }; done
}
lib=$(dirname "$(find "$dest" -name libdirector.so.0 | head -1)")
lib=${lib#"$dest"}

there /usr/bin/director /usr/bin/director-plugin-test /usr/sbin/directord /usr/sbin/director-target \
	/usr/libexec/director/director-plugin-run /usr/bin/director-iscsi
there "$lib/libdirector.so" "$lib/libdirector.so.0" "$lib/pkgconfig/director.pc" \
	/usr/include/director/client.h /usr/include/director/plugin.h
there "$lib/libdirector-iscsi.so" "$lib/pkgconfig/director-iscsi.pc" /usr/include/director/iscsi.h \
	/usr/share/bash-completion/completions/director-iscsi
for p in file block ram fault delay log device-local iscsi; do there "$lib/director/plugins/$p.so"; done
there /usr/lib/systemd/system/directord.service /usr/lib/sysusers.d/director.conf /usr/lib/tmpfiles.d/director.conf \
	/etc/director/director.conf /usr/share/bash-completion/completions/director
for page in $(cd "$src" && find doc plugins initiator -name '*.[1-8]'); do
	there "/usr/share/man/man${page##*.}/${page##*/}"
done

# Nothing of the build is left in what is run: no rpath, no place of the build.
for f in "$dest"/usr/bin/director "$dest"/usr/sbin/directord "$dest"/usr/sbin/director-target; do
	if readelf -d "$f" 2>/dev/null | grep -qE 'R(UN)?PATH'; then echo "$f has an rpath"; bad=1; fi
done
grep -l '@[a-z]*dir@' "$dest"/usr/lib/systemd/system/*.service "$dest$lib"/pkgconfig/*.pc && { echo "not filled in"; bad=1; }

# A program that knows only pkg-config compiles, links and runs.
PKG_CONFIG_SYSROOT_DIR=$dest PKG_CONFIG_PATH=$dest$lib/pkgconfig
export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH
exe=$(mktemp) || exit 1
# shellcheck disable=SC2046
if cc -o "$exe" "$src/doc/examples/list.c" $(pkg-config --cflags --libs director); then
	LD_LIBRARY_PATH=$dest$lib DIRECTOR_SOCKET=/nonexistent "$exe" >/dev/null 2>&1
	[ $? -lt 126 ] || { echo "a program that uses libdirector does not run"; bad=1; }
else
	echo "a program that uses libdirector does not compile"; bad=1
fi
rm -f "$exe"
LD_LIBRARY_PATH=$dest$lib "$dest/usr/bin/director" --version >/dev/null || { echo "director does not run"; bad=1; }
LD_LIBRARY_PATH=$dest$lib "$dest/usr/sbin/directord" --version >/dev/null || { echo "directord does not run"; bad=1; }
LD_LIBRARY_PATH=$dest$lib "$dest/usr/sbin/directord" -n --conf "$dest/etc/director/director.conf" >/dev/null ||
	{ echo "the default configuration is refused"; bad=1; }
exit $bad
