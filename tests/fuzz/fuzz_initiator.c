/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initiator fed with bytes of a target. The first byte chooses: logged in already (bit 0), ErrorRecoveryLevel (bits 1
 * and 2), mutual CHAP (bit 3), in what pieces (bits 4 to 6). Commands of every kind are under way.
 */
#include <string.h>

#include "base/err.h"
#include "target/iscsi/ini.h"
#include "target/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define COMMANDS 6

static void drain(struct ini_session *s, struct ini_conn *c)
{
	struct ini_iov iov[8];
	struct ini_event ev;
	unsigned k;

	while (c->state != INI_S1_FREE && (k = ini_output(c, iov, 8))) {
		size_t all = 0;

		for (unsigned i = 0; i < k; i++)
			all += iov[i].len;
		ini_sent(c, all);
	}
	while (ini_next_event(s, &ev))
		;
	while (ini_next_done(s))
		;
}

static void respond(struct ini_session *s, struct ini_conn *c, uint8_t flags, const char *text, uint32_t len, uint32_t statsn)
{
	uint8_t b[BHS_LEN + 256] = { PDU_LOGIN_RESPONSE, flags };

	put24(b + 5, len);
	b[15] = 1;                      /* TSIH */
	put32(b + 16, 1);
	put32(b + 24, statsn);
	put32(b + 28, 1);
	put32(b + 32, 64);
	memcpy(b + BHS_LEN, text, len);
	ini_feed(c, b, BHS_LEN + len + pdu_pad(len));
	drain(s, c);
}

static void submit(struct ini_session *s, struct ini_cmd *cmds, uint8_t *memory)
{
	static const uint8_t cdb[16] = { 0x88 };
	static uint8_t sense[64];
	static struct ini_iov iov[3];

	iov[0] = (struct ini_iov){ memory, 1000 };
	iov[1] = (struct ini_iov){ memory + 1000, 0 };
	iov[2] = (struct ini_iov){ memory + 1000, 7192 };
	for (unsigned i = 0; i < COMMANDS; i++) {
		struct ini_cmd *c = &cmds[i];

		memset(c, 0, sizeof(*c));
		c->cdb = cdb;
		c->cdb_len = 16;
		c->sense = sense;
		c->sense_max = sizeof(sense);
		c->attr = TASK_SIMPLE;
		c->read = i % 3 != 1;
		c->write = i % 3 != 0;
		c->repeat = i & 1;
		c->in = c->out = iov;
		c->n_in = c->n_out = 3;
		c->in_len = c->read ? 8192 : 0;
		c->out_len = c->write ? 8192 : 0;
		c->deadline = (struct mono){ 60000000000u };
		ini_submit(s, c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char keys[] = "MaxRecvDataSegmentLength=1024\0InitialR2T=Yes\0MaxOutstandingR2T=4";
	static const char erl1[] = "ErrorRecoveryLevel=1\0MaxOutstandingR2T=4", erl2[] = "ErrorRecoveryLevel=2\0MaxConnections=1";
	static const size_t pieces[8] = { 0, 1, 7, 48, 61, 512, 4096, 0 };
	static uint8_t memory[8192];
	struct ini_conf conf;
	struct ini_session *s;
	struct ini_conn *c;
	struct ini_cmd cmds[COMMANDS];
	uint8_t random[CHAP_HASH_MAX + 1] = { 0 };
	size_t piece;

	if (n == 0)
		return 0;
	ini_conf_default(&conf);
	conf.initiator = "iqn.2026-11.test:i";
	conf.target = "iqn.2026-11.test:t";
	conf.portals[0] = "a";
	conf.n_portals = 1;
	conf.offer.erl = p[0] >> 1 & 3;
	if (conf.offer.erl > 2)
		conf.offer.erl = 2;
	conf.depth = 5;
	if (p[0] & 8) {
		conf.user = "alice";
		conf.secret = "secret-of-alice";
		conf.target_secret = "secret-of-target";
	}
	s = ini_session_new(&conf, (struct mono){ 1000000000u });
	c = ini_conn_of(s, 0);
	ini_connecting(c);
	ini_connected(c, random);
	submit(s, cmds, memory);
	drain(s, c);
	if (p[0] & 1 && !(p[0] & 8)) {
		respond(s, c, 0x81, "TargetPortalGroupTag=1", 23, 1);
		if (conf.offer.erl == 0)
			respond(s, c, 0x87, keys, sizeof(keys), 2);
		else if (conf.offer.erl == 1)
			respond(s, c, 0x87, erl1, sizeof(erl1), 2);
		else
			respond(s, c, 0x87, erl2, sizeof(erl2), 2);
	}
	piece = pieces[p[0] >> 4 & 7];
	for (p++, n--; n && c->state != INI_S1_FREE;) {
		size_t k = piece && piece < n ? piece : n, direct = 0;
		void *place;
		uint32_t want = ini_want(c, &place);

		if (want) {
			direct = want < k ? want : k;
			memcpy(place, p, direct);
			ini_got(c, (uint32_t)direct);
		}
		if (direct < k)
			ini_feed(c, p + direct, k - direct);
		p += k;
		n -= k;
		drain(s, c);
	}
	ini_tick(s, (struct mono){ 5000000000u });
	drain(s, c);
	ini_tick(s, (struct mono){ 70000000000u });
	drain(s, c);
	ini_cancel_all(s, ERR_CANCELED);
	ini_logout(s, 0);
	drain(s, c);
	ini_session_free(&s);
	return 0;
}
