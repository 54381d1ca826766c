# SPDX-License-Identifier: Apache-2.0
# For the scripts of this folder: a daemon of their own, the shell, and what may differ between runs taken out.
# A script prints; `same NAME` compares all of it with NAME.ok.

: "${top_builddir:=.}" "${top_srcdir:=.}"
dir=$(mktemp -d "${TMPDIR:-/tmp}/director-shell.XXXXXX") || exit 1
export DIRECTOR_SOCKET="$dir/control.sock" TZ=UTC HOME="$dir" LC_ALL=C.UTF-8
daemon=
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# start [OPTION…]: a daemon that plays the cluster n1 n2 n3.
start() {
	"$top_builddir/tests/shell/fake-directord" "$DIRECTOR_SOCKET" --delay 10 "$@" < /dev/null > /dev/null 2> "$dir/log" &
	daemon=$!
	for _ in $(seq 600); do
		[ -S "$DIRECTOR_SOCKET" ] && return
		sleep 0.1
	done
	echo "the daemon does not start" >&2
	exit 1
}

# shown FILE TEXT: wait until a file has a text; a minute without it is a failure.
shown() {
	for _ in $(seq 600); do
		grep -qF "$2" "$1" && return
		sleep 0.1
	done
	echo "not seen: $2"
	return 1
}

stop() {
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		wait "$daemon" 2>/dev/null
	fi
	daemon=
}

# d WORD…: the command as typed, what it says (standard error too), its status if that is not 0.
d() {
	echo "\$ director $*"
	"$top_builddir/shell/director" "$@" 2>&1 && return
	echo "(status $?)"
}

# Times, UUIDs and ages are different each time.
filter() {
	sed -E -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}/DATE       TIME    /g' \
		-e 's/[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}/TIME/g' \
		-e 's/("age_ms"|"time"): ?[0-9]+/\1:N/g' -e 's/, [0-9.hms]+ ago/, AGE ago/' \
		-e 's/^[0-9]+ TIME/SEQ TIME/; s/"seq":[0-9]+/"seq":SEQ/g; s/events up to [0-9]+/events up to SEQ/' \
		-e "s,$dir,DIR,g" -e 's/ by [a-z0-9_-]+ on n1/ by USER on n1/g' \
		-e "s/\\b$(id -un)( +)n1\\b/USER\\1n1/g" -e "s/\"author\":\"$(id -un)\"/\"author\":\"USER\"/g" \
		-e "s/: $(id -un) has /: USER has /"
}

# same NAME: compare what the function `commands` prints.
same() {
	commands > "$dir/raw"
	filter < "$dir/raw" > "$dir/out"
	if [ -n "$UPDATE" ]; then
		cp "$dir/out" "$top_srcdir/tests/shell/$1.ok"
	fi
	diff -u "$top_srcdir/tests/shell/$1.ok" "$dir/out"
}
