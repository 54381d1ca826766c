#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# director-iscsi: what is wrong with its arguments is said, with status 2, before any target is asked.
: "${top_builddir:=.}" "${top_srcdir:=.}"
tool=$top_builddir/director-iscsi
dir=$(mktemp -d "${TMPDIR:-/tmp}/iscsi-usage.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
url=iscsi://127.0.0.1:1/iqn.2026-11.test:t/0
status=0

# wrong TEXT ARGUMENTS...
wrong() {
	text=$1
	shift
	timeout 60 "$tool" "$@" > "$dir/out" 2>&1 < /dev/null
	is=$?
	if [ $is -ne 2 ] || ! grep -q -- "$text" "$dir/out"; then
		echo "director-iscsi $*: status $is, and not 2 with \"$text\":"
		cat "$dir/out"
		status=1
	fi
}

wrong usage
wrong "no command frobnicate" frobnicate
for c in read write bench verify; do
	wrong "is not iscsi://" $c iscsi://127.0.0.1
done
wrong "takes one PORTAL" discover
wrong "inquiry takes" inquiry iscsi://127.0.0.1
wrong "takes --socket" serve $url
wrong "is not iscsi://" bench iscsi://127.0.0.1:1/iqn.2026-11.test:t/x
wrong "unrecognized option" read --no-such $url
wrong "is not a number from 0 to 2" inquiry --erl two $url
wrong "is not a number from 0 to 2" inquiry --erl 65536 $url
wrong "is not a number from 1 to 16" inquiry --connections 65537 $url
wrong "is not a number from 1 to 4096" bench --depth 8x $url
wrong "is not a number from 0 to 100" bench --mix 101 $url
wrong "is not a number from 1 to 1024" verify --depth 0 $url
wrong "is not a time" bench --runtime soon $url
wrong "is not a size" read --offset much $url
wrong "a digest is" inquiry --header-digest md5 $url
wrong "CHAP algorithms are" inquiry --chap sha512 $url
for c in discover inquiry read write bench verify serve; do
	timeout 60 "$tool" $c --help > "$dir/out" 2>&1 && grep -q "^usage: director-iscsi" "$dir/out" || {
		echo "$c --help: $(cat "$dir/out")"
		status=1
	}
done
# RFC 7143 12.1.3: both directions have secrets of their own.
echo the-same-secret > "$dir/secret"
timeout 60 "$tool" inquiry --user a --secret-file "$dir/secret" --target-secret-file "$dir/secret" $url > "$dir/out" 2>&1
if [ $? -ne 1 ] || ! grep -q "must not be the same" "$dir/out"; then
	echo "one secret for both directions: $(cat "$dir/out")"
	status=1
fi
exit $status
