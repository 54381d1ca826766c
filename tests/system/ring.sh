#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Slow: over a minute; the adapter alone, which every other test uses too.
# The Corosync adapters on real Corosyncs: form, grow, lose, adopt, rotate the key, stall.
. "$(dirname "$0")/functions.sh"
requires corosync
ringer=$build/tests/system/ringer
[ -x "$ringer" ] || skip "$ringer is not built (make check builds it)"

say() { # NODE COMMAND
	local n=$1
	shift
	lab sh "$n" timeout 3 sh -c 'echo "$*" >/run/in' say "$@" || fail "$n does not take \"$*\""
}
each() { local n list=$1; shift; for n in $list; do say "$n" "$@"; done; }
expect_each() { local n list=$1; shift; for n in $list; do expect "$n" "$@"; done; }

lab up 4 --family 4 --no-wait --program \
	"bash -c 'mkfifo /run/in 2>/dev/null; exec 3<>/run/in; exec $ringer /var/lib/director/corosync <&3'" || fail "lab up"
for n in n1 n2 n3 n4; do expect $n 5 'opened stopped'; done
net=$(lab address n1 4); net=${net%.*}
three="1@n1@$net.1 2@n2@$net.2 3@n3@$net.3"

step "start without a file is refused; a file without an address of this machine too"
say n1 start
expect n1 3 'start not-found'
say n1 conf 1 "2@n2@$net.2"
expect n1 5 'conf invalid .*No valid name found'
say n1 written
expect n1 3 'written not-found'

step "three form a ring, all with the same view"
forget n1 n2 n3
each "n1 n2 n3" conf 1 $three
expect_each "n1 n2 n3" 5 'conf ok'
each "n1 n2 n3" start
expect_each "n1 n2 n3" 10 'view .* nodes 1 2 3$'
expect_each "n1 n2 n3" 5 ' quorate .* of 3'
id=$(lab logs n1 | sed -n 's/.*view \([0-9a-f]*\) .* nodes 1 2 3$/\1/p' | tail -n 1)
expect_each "n2 n3" 3 "view $id "

step "messages reach all"
say n2 cast hello
expect_each "n1 n2 n3" 3 'message 2 hello'

step "the daemon is killed: the others see it at once, Corosync goes on, the next daemon takes it over"
forget n1 n2 n3
pid=$(lab sh n1 cat /var/lib/director/corosync/pid)
lab kill n1 ringer
expect_each "n2 n3" 2 'view .* nodes 2 3$'
forget n1
lab start n1
expect n1 5 "took over pid $pid"
expect_each "n1 n2 n3" 5 'view .* nodes 1 2 3$'

step "grow: file everywhere, one reload, all confirm, then the newcomer"
forget n1 n2 n3
each "n1 n2 n3 n4" conf 2 $three "4@n4@$net.4"
expect_each "n1 n2 n3 n4" 5 'conf ok'
say n1 reload
expect n1 5 'reload ok'
each "n1 n2 n3" active
expect_each "n1 n2 n3" 5 'active ok version 2 .* nodes 1 2 3 4$'
hash=$(lab logs n1 | sed -n 's/.*active ok version 2 hash \([0-9a-f]*\) .*/\1/p')
expect_each "n2 n3" 3 "hash $hash"
say n4 start
expect_each "n1 n2 n3 n4" 10 'view .* nodes 1 2 3 4$'

step "key rotation on a running ring"
forget n1 n2 n3 n4
each "n1 n2 n3 n4" conf 3 $three "4@n4@$net.4" key=x
expect_each "n1 n2 n3 n4" 5 'conf ok'
say n2 reload
expect n2 5 'reload ok'
each "n1 n2 n3 n4" active
expect_each "n1 n2 n3 n4" 5 'active ok version 3'
# Corosync promises no more: now and then a rotation breaks the ring for some seconds.
rotated() {
	local n
	say n3 cast rotated
	for n in n1 n2 n3 n4; do logged $n 'message 3 rotated' || return 1; done
}
until_true 15 "all hear each other under the new key" rotated
logged n1 view && step "(the ring broke and formed again)"
[ "$(lab sh n1 sh -c 'ls /var/lib/director/corosync/authkey-* | wc -l')" = 1 ] || fail "an old key is left"

step "a crashed Corosync is started again, whether child (n2) or taken over (n1)"
for n in n2 n1; do
	forget n1 n2 n3 n4
	lab kill $n corosync
	expect $n 3 'down '
	expect $n 15 'view .* nodes 1 2 3 4$'
	expect n3 10 'view .* nodes 1 2 3 4$'
done

step "a flood of casts arrives whole and in order of flow control"
forget n1
say n1 flood 5000 200
expect n1 20 'flooded 5000'
forget n1
say n1 flood 60 900000
expect n1 30 'flooded 60'

step "leaving in good order is seen at once"
forget n1 n3
say n3 stop
expect n1 2 'view .* nodes 1 2 4$'
expect n3 3 'corosync stopped'
say n3 start
expect n1 10 'view .* nodes 1 2 3 4$'
expect n3 10 'view .* nodes 1 2 3 4$'

step "a paused Corosync does not stop the daemon"
forget n4
lab pause n4 corosync
say n4 active
say n4 waiting
expect n4 2 'waiting 0'
expect n4 8 'active timeout'
say n4 kill
expect n4 3 'corosync stopped'
say n4 start
expect n4 15 'view .* nodes 1 2 3 4$'
expect n1 5 'view .* nodes 1 2 3 4$'

step "a node with another key is alone and disturbs nobody"
say n4 stop
expect n1 3 'view .* nodes 1 2 3$'
expect n4 3 'corosync stopped'
sleep 1
forget n1 n2 n3 n4
say n4 conf 3 $three "4@n4@$net.4" key=w
expect n4 5 'conf ok'
say n4 start
expect n4 10 'view .* nodes 4$'
sleep 3
say n1 cast undisturbed
expect_each "n1 n2 n3" 2 'message 1 undisturbed'
for n in n1 n2 n3; do expect_not $n 'view'; done
say n4 stop

step "one stale file stops the ring without an event: our own casts that do not come back are the sign"
forget n1 n2 n3 n4
each "n1 n2" conf 5 $three "4@n4@$net.4" key=x
say n3 conf 5 $three key=x
expect_each "n1 n2 n3" 5 'conf ok'
say n1 reload
expect n1 5 'reload ok'
say n4 conf 5 $three "4@n4@$net.4" key=x
expect n4 5 'conf ok'
each "n1 n2 n3" active
expect n3 5 'active ok version 5 .* nodes 1 2 3$'
expect n1 5 'active ok version 5 .* nodes 1 2 3 4$'
say n4 start
sleep 3
say n1 cast stalled
sleep 2.5
say n1 waiting
if logged n1 'message 1 stalled'; then
	step "(the ring did not stall this time)"
else
	expect n1 2 'waiting [0-9]{4}'
	say n4 kill
	expect n1 10 'message 1 stalled'
fi
step "done"
