/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the target fed with bytes, over a disk in memory. The first byte chooses: logged in
 * already (bit 0), with what negotiated or proven (bits 1, 2), in what pieces (bits 3 to 5), tasks held back until
 * the end (bit 6); then (bit 7) error recovery level 2 and two connections: a byte FF 00 n in the bytes goes to
 * connection n of 0 to 3, FF 01 cuts the one in hand, FF 02 lets time go by.
 */
#include <stdint.h>

#include "tests/unit/target_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define KEYS(s) (s), sizeof(s) - 1
#define ERL2 "ErrorRecoveryLevel=2\0MaxConnections=3\0"

static void several(struct world *w, const uint8_t *p, size_t n)
{
	uint64_t seconds = 1;
	size_t from = 0, i = 0;

	for (; i + 2 < n; i++) {
		if (p[i] != 0xff || p[i + 1] > 2 || !w->session)
			continue;
		if (w->conn)
			world_feed(w, p + from, i - from, 0);
		if (p[i + 1] == 0) {
			unsigned k = p[i + 2] % WORLD_LINKS;

			world_use(w, k);
			if (w->conn->state < CONN_S4_IN_LOGIN && w->conn->closing == CLOSING_NO)
				world_join(w, k, (uint16_t)(p[i + 2] / WORLD_LINKS % 4), KEYS(""));
		} else if (p[i + 1] == 1) {
			world_cut(w);
		} else {
			if (w->conn)
				conn_tick(w->conn, (struct mono){ seconds * 1000000000u });
			session_tick(w->session, (struct mono){ seconds * 1000000000u });
			seconds += p[i + 2];
			world_run(w);
		}
		i += 2;
		from = i + 1;
	}
	if (w->conn)
		world_feed(w, p + from, n - from, 0);
	if (w->session)
		session_tick(w->session, (struct mono){ 90000000000u });
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const size_t pieces[8] = { 0, 1, 7, 48, 61, 512, 4096, 0 };
	struct world w;

	if (n == 0)
		return 0;
	world_init(&w, 256u << 10, 512);
	w.pool.bytes_max = 64u << 20;
	if ((p[0] & 0x81) == 0x81) {
		w.policy.ours.erl = 2;
		w.policy.ours.max_connections = 3;
		w.policy.ours.time2retain = 20;
		w.policy.ours.pdu_in_order = w.policy.ours.sequence_in_order = 0;
		if (p[0] & 2)
			world_login(&w, KEYS(ERL2 "InitialR2T=No\0MaxRecvDataSegmentLength=512\0DataPDUInOrder=No\0"));
		else if (p[0] & 4)
			world_login(&w, KEYS(ERL2 "ImmediateData=No\0MaxBurstLength=512\0MaxOutstandingR2T=4\0"));
		else
			world_login(&w, KEYS(ERL2));
	} else if (p[0] & 1) {
		if (p[0] & 2)
			world_login(&w, KEYS("InitialR2T=No\0MaxRecvDataSegmentLength=512\0"));
		else if (p[0] & 4)
			world_login(&w, KEYS("InitialR2T=Yes\0ImmediateData=No\0MaxBurstLength=512\0"));
		else
			world_login(&w, KEYS(""));
	} else if (p[0] & 2) {
		w.policy.user = "alice";
		w.policy.secret = "secret-of-alice";
		w.policy.mutual_user = "target";
		w.policy.mutual_secret = "secret-of-target";
	} else if (p[0] & 4) {
		static const char *const secrets[] = { "newer", "secret-of-7" };

		w.policy.by_user = true;
		w.secrets = secrets;
		w.n_secrets = 2;
	}
	w.hold = p[0] & 64;
	if ((p[0] & 0x81) == 0x81)
		several(&w, p + 1, n - 1);
	else
		world_feed(&w, p + 1, n - 1, pieces[p[0] >> 3 & 7]);
	if (w.conn)
		conn_tick(w.conn, (struct mono){ 40000000000u });
	world_run(&w);
	world_fini(&w);
	return 0;
}
