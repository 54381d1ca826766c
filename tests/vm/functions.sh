# SPDX-License-Identifier: Apache-2.0
# What the tests with virtual machines share, on top of the system tests' functions. A test sources this, makes a lab, boots
# guests on the lab's bridge and says what it expects.
# shellcheck shell=bash
# shellcheck source=../system/functions.sh
. "$(dirname "${BASH_SOURCE[0]}")/../system/functions.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guests=()

# Exit 77 with the reason when no guest can run here.
requires_vm() {
	requires qemu-system-x86_64 qemu-img mmdebstrap cpio mke2fs "$@"
	[ "$(uname -m)" = x86_64 ] || skip "the guests are x86-64"
	[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
	busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1 || skip "busybox-static is not installed"
}

# What a test needs of the build; one at a time, for several tests may run in one tree.
built() { flock "$build/config.status" make -s -C "$build" "$@" >/dev/null; }
# director as "make install" leaves it, for the guests that run it themselves: before the first boot; then in the guest.
stage_director() {
	grep -q "^SAN_CFLAGS *=.*fsanitize" "$build/Makefile" && skip "the build has sanitizers; this installs what users get"
	tools=$(mktemp -d "${TMPDIR:-/tmp}/vm-tools.XXXXXX")
	built install DESTDIR="$tools/director" || fail "make install"
}
install_director() { g "$1" 'cp -a /tools/director/. / && ldconfig && systemd-sysusers && systemd-tmpfiles --create director.conf && systemctl daemon-reload'; }

full() { echo "$LAB-$1"; } # guests of tests that run side by side have different names
vm() { local c=$1; shift; "$here/vm" "$c" "$@"; }
# g [-t SECONDS] NAME CMD...: a command in a guest
g() {
	local limit=()
	[ "$1" != -t ] || { limit=(-t "$2"); shift 2; }
	local n=$1
	shift
	vm run "${limit[@]}" "$(full "$n")" "$@"
}
# boot NAME OPTIONS...: with /tools, where fsx is, and what a test put into "$tools" before.
tools=
boot() {
	local n=$1
	shift
	guests+=("$n")
	make_tools
	vm boot "$(full "$n")" "$@" -d "$tools.img" || fail "guest $n does not boot"
	g "$n" 'mkdir /tools && mount -o ro -t ext4 $(lsblk -dpno NAME | grep /dev/vd | tail -n 1) /tools' || fail "guest $n has no tools"
}
make_tools() {
	[ ! -e "${tools:-/none}.img" ] || return 0
	[ -n "$tools" ] || tools=$(mktemp -d "${TMPDIR:-/tmp}/vm-tools.XXXXXX")
	built tests/vm/fsx || fail "fsx does not build"
	cp "$build/tests/vm/fsx" "$tools" && vm disk "$tools.img" "$tools" || fail "no disk of tools"
}
cable() { vm cable "$(full "$1")" "$2" "$3"; }
# A card on the lab's network with the address .NUMBER: card NUMBER [NETWORK]
network() { local a; a=$(lab address n1 4); echo "${a%.*}"; }
second_network() { network | sed 's/^10\.77/10.78/'; }
card() { echo "$(lab bridge)=${2:-$(network)}.$1/24"; }

# until_guest SECONDS WHAT NAME CMD...: try in the guest until it succeeds there.
until_guest() {
	local seconds=$1 what=$2 n=$3
	shift 3
	g -t $((seconds + 5)) "$n" - <<-END || fail "$what (not within $seconds s in guest $n: $*)"
		end=\$((SECONDS + $seconds))
		until { $*; } >/dev/null 2>&1; do [ \$SECONDS -lt \$end ] || exit 1; sleep 0.2; done
	END
}

show_guests() {
	local n
	for n in "${guests[@]}"; do
		echo "---- guest $n"
		vm console "$(full "$n")" | tail -n 20
		g -t 20 "$n" 'dmesg | tail -n 40; systemctl --failed --no-legend; journalctl -q -n 60 --no-pager -o cat' | tail -n 100
	done
} >&2 2>/dev/null

finish() {
	local status=$? n
	[ $status = 0 ] || [ $status = 77 ] || { show_logs; show_guests; }
	if [ -n "${KEEP:-}" ]; then
		echo "$test_name: kept as LAB=$LAB; guests: $("$here/vm" list | grep "^$LAB-" | tr '\n' ' ')"
	else
		for n in "${guests[@]}"; do vm stop "$(full "$n")"; done
		rm -rf ${tools:+"$tools" "$tools.img"}
		lab down
	fi
	return $status
}

# An initiator's side in a guest.
initiator_name() { echo "iqn.2026-01.test:$1"; }
# login NAME IQN PORTAL...: what SendTargets says there, and a session through each portal
login() {
	local n=$1 iqn=$2 p
	shift 2
	for p; do
		g "$n" - <<-END || fail "guest $n: no login at $p"
			set -e
			echo InitiatorName=$(initiator_name "$n") >/etc/iscsi/initiatorname.iscsi
			modprobe iscsi_tcp
			# Only where discovery left none: two records of one portal confuse iscsiadm.
			iscsiadm -m node -T $iqn -p $p >/dev/null 2>&1 || iscsiadm -m node -T $iqn -p $p -o new >/dev/null
			iscsiadm -m node -T $iqn -p $p -o update -n node.session.timeo.replacement_timeout -v ${REPLACEMENT:-120}
			iscsiadm -m node -T $iqn -p $p -o update -n node.conn[0].timeo.noop_out_interval -v 2
			iscsiadm -m node -T $iqn -p $p -o update -n node.conn[0].timeo.noop_out_timeout -v 3
			iscsiadm -m node -T $iqn -p $p --login
			udevadm settle -t 100 || true
		END
	done
}
