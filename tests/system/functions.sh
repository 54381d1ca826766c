# SPDX-License-Identifier: Apache-2.0
# What the system tests share. A test sources this, makes a lab, and says what it expects.
# shellcheck shell=bash
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lab=$here/../lab/lab
build=${DIRECTOR_BUILD:-${abs_top_builddir:-$PWD}}
export DIRECTOR_BUILD=$build
test_name=$(basename "$0" .sh)
LAB=t-$(echo "$test_name" | tr -cd 'a-z0-9' | cut -c1-8)-$$
export LAB LAB_QUIET=1

skip() { echo "$test_name: skipped: $*"; exit 77; }

# Exit 77 with the reason when something is not there.
requires() {
	local p
	[ "$(id -u)" = 0 ] || skip "needs root (namespaces)"
	for p in ip iptables nsenter unshare jq "$@"; do
		command -v "$p" >/dev/null || [ -x "$p" ] || [ -x "/usr/sbin/$p" ] || skip "$p is not installed"
	done
	ip netns add "probe-$$" 2>/dev/null || skip "cannot make network namespaces"
	ip netns del "probe-$$"
}

lab() {
	if [ "$1" = wait ]; then set -- wait $(($2 * PATIENCE)); fi
	"$lab" "$@"
}

finish() {
	local status=$?
	[ $status = 0 ] || [ $status = 77 ] || show_logs
	if [ -n "${KEEP:-}" ]; then echo "$test_name: kept as LAB=$LAB"; else lab down; fi
	return $status
}
trap finish EXIT
trap 'exit 130' INT TERM

show_logs() {
	local n
	for n in $(lab list 2>/dev/null | awk '{print $1}'); do
		echo "---- $n"
		lab logs "$n" 2>/dev/null | grep -E -A24 'ERROR: (Address|Leak)Sanitizer|runtime error:|Assertion .* failed' | head -n 80
		lab logs "$n" 2>/dev/null | tail -n "${LINES_SHOWN:-40}"
	done >&2
}

fail() { echo "$test_name: FAILED: $*" >&2; exit 1; }
step() { echo "$test_name: $*"; }

# How long to wait for what must come: so many times the seconds that a test names, which an idle machine needs at most.
# How fast things are is what tests/bench and the simulators' virtual time are for; a busy machine fails nothing here.
PATIENCE=${PATIENCE:-5}

# until_true SECONDS WHAT CMD...: try until CMD succeeds.
until_true() {
	local end=$((SECONDS + $1 * PATIENCE)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "$what (not within the time; \"$*\")"
		sleep 0.1
	done
}

# How far each node's log was looked at; see `seen` and `forget`.
declare -A mark=()
log_lines() { lab logs "$1" 2>/dev/null | wc -l; }
forget() { for n in "$@"; do mark[$n]=$(log_lines "$n"); done; }         # look only at what comes from here on
logged() { lab logs "$1" 2>/dev/null | tail -n +$((${mark[$1]:-0} + 1)) | grep -qE -- "$2"; }
# expect NODE SECONDS PATTERN: a line that matches appears in its log.
expect() { until_true "$2" "$1 logs \"$3\"" logged "$1" "$3"; }
expect_not() { logged "$1" "$2" && fail "$1 logged \"$2\""; return 0; }

# For how many ms whoever wants to run ten times a second could not, each time that it was far too long.
stalls() {
	local at=${EPOCHREALTIME//[!0-9]/} now
	while sleep 0.1; do
		now=${EPOCHREALTIME//[!0-9]/}
		[ $((now - at)) -lt 600000 ] || echo $(((now - at) / 1000))
		at=$now
	done
}
# calmly WHAT CMD...: CMD says that nobody was taken for dead. It must succeed; but a time in which the machine stood still, so that those
# who could not run may well have been taken for dead, says nothing, and CMD has to show it once more.
calmly() {
	local what=$1 watcher said status
	shift
	said=$(mktemp) || exit 1
	for _ in 1 2 3 4 5; do
		stalls >"$said" &
		watcher=$!
		"$@"
		status=$?
		kill $watcher && wait $watcher 2>/dev/null
		[ $status != 0 ] && [ -s "$said" ] || break
		step "the machine stood still, $(sort -n "$said" | tail -n 1) ms at a time: once more"
	done
	rm -f "$said"
	[ $status = 0 ] || fail "$what"
}
# What stands behind in a CMD of calmly: why it does not succeed.
no() { echo "$test_name: $*" >&2; return 1; }

D_TIMEOUT=${D_TIMEOUT:-120}     # seconds that the shell may take; far more than any answer does

# The shell on a node, and what it says of the cluster.
d() { local n=$1; shift; lab sh "$n" timeout "$D_TIMEOUT" director "$@" </dev/null; }
status() { d "$1" status -o json 2>/dev/null | jq -r --arg f "$2" '.data[$f]'; }
status_is() { [ "$(status "$1" "$2")" = "$3" ]; }
node_state() { d "$1" node list -o json 2>/dev/null | jq -r --arg n "$2" '.data[] | select(.name == $n) | .state'; }
state_is() { [ "$(node_state "$1" "$2")" = "$3" ]; }
state_is_not() { local s; s=$(node_state "$1" "$2") && [ -n "$s" ] && [ "$s" != "$3" ]; }
has() { d "$1" get "$2" >/dev/null 2>&1; }              # has NODE PATH
target() { echo "iqn.2026-01.test:$1"; }
make_target() { d "$1" target create "$(target "$2")" >/dev/null; }
# Was it made, now or by an earlier try whose answer was lost?
makes() { make_target "$1" "$2" 2>/dev/null || has "$1" "/targets/$(target "$2")"; }
must_make() { until_true 10 "$1 commits $2" makes "$1" "$2"; }
# A change on a node without quorum is refused: by itself, long before the shell gives up, with status 5 and the cause.
refused() { # NODE NAME
	local start text status
	start=$(now_ms)
	text=$(make_target "$1" "$2" 2>&1)
	status=$?
	[ $status = 5 ] || fail "a change on $1 without quorum ends with status $status instead of 5: $text"
	grep -qi quorum <<<"$text" || fail "the refusal says why: $text"
	step "refused after $(($(now_ms) - start)) ms: $text"
}
count_targets() { d "$1" target list -o json 2>/dev/null | jq '.data | length'; }
commit_of() { status "$1" index; }
same_commit() { # all given nodes have applied the same index
	local n first
	first=$(commit_of "$1")
	[ -n "$first" ] && [ "$first" != null ] || return 1
	for n in "$@"; do [ "$(commit_of "$n")" = "$first" ] || return 1; done
}
# ---- one volume with copies, $volume, which is LUN 0 of the target $iqn; as n1 says, or the node named last ----
volume=v
work=
iscsi=$build/director-iscsi
# Three nodes with a volume, made as the options say, that any initiator may use.
one_volume() {
	requires corosync
	[ -x "$iscsi" ] || skip "director-iscsi is not built"
	has_director
	lab up 3 || fail "lab up"
	iqn=$(target "$test_name")
	d n1 volume create "$volume" "$@" >/dev/null || fail "volume create"
	must_make n1 "$test_name"
	d n1 lun add "$iqn" "$volume" --lun 0 >/dev/null || fail "lun add"
	d n1 host add "$iqn" --any >/dev/null || fail "host add"
}
# A folder that goes with the test.
make_work() { work=$(mktemp -d) || exit 1; trap 'finish; rm -rf "$work"' EXIT; }
show() { d "${2:-n1}" volume show "$volume" -o json 2>/dev/null | jq -r "$1"; }
owner() { show '.data.derived.node // empty' "$@"; }
owner_is() { [ "$(owner "${2:-n1}")" = "$1" ]; }
nodes() { show '[.data.legs[].desired.node] | sort | join(" ")' "$@"; }          # where its legs are
in_sync() { [ "$(show '.data.derived["in-sync"]' "${2:-n1}")" = "$1 of $1" ]; }  # so many, all of them
leg_of() { show ".data.legs[] | select(.desired.node == \"$1\") | .name" "${2:-n1}"; }
file_of() { echo "/var/lib/director/volumes/$(show ".data.legs[] | select(.desired.node == \"$1\") | .uuid" "${2:-n1}").img"; }
url() { echo "iscsi://$(lab address "$1" 4)/$iqn/0"; }
serves_all() { local n; for n in "$@"; do until_true 10 "$n serves" lab host timeout 5 "$iscsi" inquiry "$(url "$n")"; done; }
# load NODE SECONDS [OPTIONS]: patterns, written and read back all the time through a node. ended WHAT: it ended, and well.
load() {
	lab host timeout $(($2 + 250)) "$iscsi" verify --depth 4 --runtime "$2" "${@:3}" "$(url "$1")" >"$work/load" 2>&1 </dev/null &
	loader=$!
}
ended() {
	wait $loader && grep -q ' 0 wrong, 0 failed' "$work/load" || { cat "$work/load" >&2; fail "$1"; }
	step "$1: $(tail -n 1 "$work/load")"
}
# A megabyte that no load touches, the 16th, with which to see whether the data is there.
mark() { head -c 1M /dev/urandom >"$work/mark"; lab host timeout 100 "$iscsi" write "$(url "$1")" --offset 15M <"$work/mark" || fail "write through $1"; }
marked() { lab host timeout 100 "$iscsi" read "$(url "$1")" --offset 15M --length 1M 2>/dev/null | cmp -s - "$work/mark"; }
# What a leg has of the volume is behind what it keeps itself.
legs_equal() {
	local n
	for n in $(nodes "$@"); do lab sh "$n" dd if="$(file_of "$n" "$@")" bs=1M skip=1 status=none | sha256sum; done | sort -u >"$work/sums"
	[ "$(wc -l <"$work/sums")" = 1 ]
}

# A machine that starts anew, as directord knows it.
new_machine() {
	lab sh "$1" sh -c 'cd /proc/sys/kernel/random && cat uuid >/run/boot-id && { umount boot_id 2>/dev/null; mount --bind /run/boot-id boot_id; }' ||
		fail "$1 cannot be another machine"
}

# An iscsi-perf of the host that was begun for longer than anybody needs it is ended in good order.
end_perf() {
	local p
	for p in $(ip netns pids "dl-$LAB-host"); do [ "$(cat "/proc/$p/comm")" = iscsi-perf ] && kill -INT "$p"; done
	return 0
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }
# The program is built with sanitizers: what they say is a failure too.
check_sanitizers() {
	local n
	for n in $(lab list | awk '{print $1}'); do
		if lab logs "$n" 2>/dev/null | grep -qE 'ERROR: (Address|Leak)Sanitizer|runtime error:|Assertion .* failed'; then
			lab logs "$n" | grep -E -A12 'Sanitizer|runtime error:|Assertion' | head -40 >&2
			fail "$n: a sanitizer or an assertion spoke"
		fi
	done
}
has_director() { [ -x "$build/directord/directord" ] || skip "directord is not built in $build"; }
pass() { check_sanitizers; step "done"; }
