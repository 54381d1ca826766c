# SPDX-License-Identifier: Apache-2.0
# What the tests of director-target share that are its directord themselves. In a build tree, or with $top_builddir naming it.
# shellcheck shell=bash

# As root in a network of its own, so that several at a time do not meet at the port.
if [ -z "${OWN_NETWORK:-}" ] && [ "$(id -u)" = 0 ] && unshare -n ip link set lo up 2>/dev/null; then
	OWN_NETWORK=1 exec unshare -n sh -c 'ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
: "${top_builddir:=.}" "${top_srcdir:=.}"
build=$(cd "$top_builddir" && pwd)
cdb=$build/tests/system/iscsi-cdb
export DIRECTOR_PLUGIN_PATH=${DIRECTOR_PLUGIN_PATH:-$build/plugins}
dir=$(mktemp -d "${TMPDIR:-/tmp}/$(basename "$0" .sh).XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

# Programs of the build, by path, and others; exit 77 with the reason when one is not there.
requires() {
	local tool
	for tool in "$@"; do
		[ -x "$tool" ] || command -v "$tool" >/dev/null || { echo "skip: $tool is missing"; exit 77; }
	done
}
# until_true SECONDS CMD…: try until it succeeds, on a busy machine for several times that long; its status.
until_true() {
	local end=$((SECONDS + $1 * ${PATIENCE:-5}))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
# Does a director-target answer there? Its socket is there before it listens.
answers() { "$build/tests/system/targetctl" "$1" list; }
# What its sessions have brought it: as soon as it is here, whatever becomes of it. has_taken: something that was not before.
taken() { "$build/tests/system/targetctl" "$1" list | sed -n 's/^session \([0-9]*\) .* written=\([1-9][0-9]*\) .*/\1:\2/p'; }
has_taken() { taken "$1" | grep -qvxF "${2:-none}"; }
# Has a file so many lines, or more?
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
uuid() { echo "0000000$1-aaaa-4bbb-8ccc-dddddddddddd"; }
