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
uuid() { echo "0000000$1-aaaa-4bbb-8ccc-dddddddddddd"; }
