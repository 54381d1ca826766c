/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the target fed with bytes, over a disk in memory. The first byte chooses: logged in
 * already (bit 0), with what negotiated (bits 1, 2), in what pieces (bits 3 to 5), tasks held back until
 * the end (bit 6).
 */
#include <stdint.h>

#include "tests/unit/target_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define KEYS(s) (s), sizeof(s) - 1

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const size_t pieces[8] = { 0, 1, 7, 48, 61, 512, 4096, 0 };
	struct world w;

	if (n == 0)
		return 0;
	world_init(&w, 256u << 10, 512);
	w.pool.bytes_max = 64u << 20;
	if (p[0] & 1) {
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
	}
	w.hold = p[0] & 64;
	world_feed(&w, p + 1, n - 1, pieces[p[0] >> 3 & 7]);
	conn_tick(w.conn, (struct mono){ 40000000000u });
	world_run(&w);
	world_fini(&w);
	return 0;
}
