#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The plugin with an agent that writes down what it is told.
. "${top_srcdir:=.}/plugins/test-lib.sh"
x=${top_builddir:=.}/plugins/fence-agent/fence-agent
[ "$(id -u)" = 0 ] || { echo "skipped: not root, who must own the agent"; exit 77; }
cat >"$tmp/fence_fake" <<END
#!/bin/sh
cat >"$tmp/told"
grep -q '^plug=3$' "$tmp/told" || { echo "no such plug" >&2; exit 1; }
END
chmod 755 "$tmp/fence_fake"
off() { printf '{"node": "n2", "params": {%s}}' "$1" | "$x" off >"$tmp/out"; }
"$x" probe </dev/null | grep -q '"kind": "fence"' || fail "probe"
off "\"agent\": \"$tmp/fence_fake\", \"plug\": \"3\", \"password\": \"a=b c\", \"action\": \"on\"" || fail "off: $(cat "$tmp/out")"
[ "$(sort "$tmp/told" | tr '\n' ' ')" = "action=off password=a=b c plug=3 " ] || fail "it was told $(cat "$tmp/told")"
off "\"agent\": \"$tmp/fence_fake\", \"plug\": \"4\"" && fail "an agent that failed"
grep -q 'no such plug' "$tmp/out" || fail "its word is lost: $(cat "$tmp/out")"
# What an agent leaves running, with its output, is not waited for.
cat >"$tmp/fence_fork" <<END
#!/bin/sh
cat >/dev/null
sleep 600 &
echo \$! >"$tmp/left"
[ ! -e "$tmp/fails" ] || { echo "it is still on"; exit 1; }
END
chmod 755 "$tmp/fence_fork"
for i in 1 2; do
	printf '{"node": "n2", "params": {"agent": "%s"}}' "$tmp/fence_fork" | timeout 60 "$x" off >"$tmp/out"
	status=$?
	kill "$(cat "$tmp/left")"
	[ $status = $((i - 1)) ] || fail "an agent that left something running: status $status, $(cat "$tmp/out")"
	: >"$tmp/fails"
done
grep -q 'it is still on' "$tmp/out" || fail "its word is lost: $(cat "$tmp/out")"
off '"plug": "3"' && fail "no agent"
off '"agent": "/bin/sh"' && fail "a program that is no agent"
off '"agent": "fence_that_is_not_there"' && fail "an agent that is not there"
off "\"agent\": \"$tmp/fence_fake\", \"plug\": \"3\\naction=on\"" && fail "a line break"
chmod o+w "$tmp/fence_fake"
off "\"agent\": \"$tmp/fence_fake\", \"plug\": \"3\"" && fail "an agent that anybody may change"
printf 'no json' | "$x" off >/dev/null && fail "no JSON"
"$x" dance </dev/null; [ $? = 2 ] || fail "an unknown verb is not status 2"
exit 0
