/* SPDX-License-Identifier: Apache-2.0 */
/* The world of target_world.h. */
#include "tests/unit/target_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "target/scsi/sense.h"
#include "tests/unit/check.h"
#include "tests/unit/scsi_run.h"

static const struct iscsi_params ours = {
	.header_digest = DIGEST_CRC32C, .data_digest = DIGEST_CRC32C, .max_connections = 1, .immediate_data = 1,
	.max_recv = 65536, .max_burst = 65536, .first_burst = 16384, .time2wait = 2, .max_r2t = 4, .pdu_in_order = 1,
	.sequence_in_order = 1, .protocol_level = 1,
};

void world_init(struct world *w, uint64_t size, uint32_t block_size)
{
	static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

	memset(w, 0, sizeof(*w));
	task_pool_init(&w->pool, sizeof(struct iscsi_task), 256u << 20, 4096);
	w->conf = (struct iscsi_conn_conf){ .pool = &w->pool, .login_ms = 15000, .ping_ms = 30000 };
	w->conn = iscsi_conn_new(&w->conf, (struct mono){ 0 });
	w->size = size;
	w->disk = mem_zalloc(size);
	lu_init(&w->lu, uuid, "test", size, block_size);
	w->lu.thin = true;
	snprintf(w->it.initiator, sizeof(w->it.initiator), "iqn.2026-11.test:i");
	snprintf(w->it.target, sizeof(w->it.target), "iqn.2026-11.test:t");
	w->it.tag = 1;
	lu_attach(&w->lu, &w->nexus, &w->it, 0, false);
	w->nexus.ua = 0;
	w->luns[0] = &w->nexus;
	w->it.luns = w->luns;
	w->it.n_luns = 1;
	w->policy = (struct login_policy){ .tag = 1, .ours = ours };
	w->cmdsn = 1;
	w->itt = 100;
}

/* Another connection in hand, if there is one or not. */
static void world_take(struct world *w, unsigned i)
{
	w->links[w->at] = (struct world_link){ w->conn, w->out, w->out_at };
	w->at = i;
	w->conn = w->links[i].conn;
	w->out = w->links[i].out;
	w->out_at = w->links[i].out_at;
}

void world_use(struct world *w, unsigned i)
{
	world_take(w, i);
	if (!w->conn)
		w->conn = iscsi_conn_new(&w->conf, (struct mono){ 0 });
}

void world_cut(struct world *w)
{
	iscsi_conn_free(&w->conn);
	buf_reset(&w->out);
	w->out_at = 0;
}

void world_fini(struct world *w)
{
	/* Those that waited for what is released now are not held again. */
	w->hold = false;
	world_release(w);
	for (unsigned i = 0; i < WORLD_LINKS; i++) {
		world_take(w, i);
		iscsi_conn_free(&w->conn);
		buf_fini(&w->out);
	}
	if (w->session)
		iscsi_session_free(&w->session);
	lu_detach(&w->nexus);
	lu_fini(&w->lu);
	task_pool_fini(&w->pool);
	free(w->disk);
}

/* ---- the disk ---- */

static void block(struct world *w, struct block_op *op)
{
	uint64_t at = op->offset;

	op->result = 0;
	op->key = 0;
	switch (op->kind) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		CHECK(op->offset <= w->size && op->len <= w->size - op->offset);
		for (unsigned i = 0; i < op->n_iov; at += op->iov[i++].len)
			if (op->kind == BLOCK_READ)
				memcpy(op->iov[i].base, w->disk + at, op->iov[i].len);
			else
				memcpy(w->disk + at, op->iov[i].base, op->iov[i].len);
		CHECK(at == op->offset + op->len);
		break;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		CHECK(op->offset <= w->size && op->len <= w->size - op->offset);
		memset(w->disk + op->offset, 0, op->len);
		break;
	case BLOCK_COMPARE_AND_WRITE:
		CHECK(op->offset <= w->size && op->len <= w->size - op->offset && op->iov[0].len == 2 * op->len);
		for (uint64_t i = 0; i < op->len; i++)
			if (w->disk[at + i] != ((uint8_t *)op->iov[0].base)[i]) {
				op->result = -84;
				op->key = SENSE_MISCOMPARE;
				op->at = i;
				return;
			}
		memcpy(w->disk + at, (uint8_t *)op->iov[0].base + op->len, op->len);
		break;
	case BLOCK_EXTENTS:
		op->at = op->len;
		op->hole = false;
		break;
	case BLOCK_CHECKSUM:
	case BLOCK_FLUSH:
	case BLOCK_PAUSE:
		break;
	}
}

static void block_run(void *arg, struct block_op *op, const struct scsi_lu *lu)
{
	block(arg, op);
}

static void execute(struct world *w, struct task *t)
{
	struct scsi_run r = { .block = block_run, .arg = w };

	run_turns(&r, t, scsi_start(&w->it, t));
	conn_task_done(t);
}

/* ---- the loop ---- */

static void begin(struct world *w)
{
	enum login_status status = w->session_status;

	if (w->conn->login->tsih) {
		status = w->session && w->conn->login->tsih == w->session->tsih
				 ? session_admits(w->session, w->conn->login)
				 : LOGIN_NO_SESSION;
	} else if (status == LOGIN_OK) {
		CHECK(!w->session);
		w->session = iscsi_session_new(w->conn->login, 7, 32);
	}
	conn_session(w->conn, status, status == LOGIN_OK ? w->session : NULL);
}

static void answer(struct world *w)
{
	static const char targets[] = "TargetName=iqn.2026-11.test:t\0TargetAddress=10.0.0.1:3260,1";

	switch (w->conn->ask) {
	case ASK_POLICY:
		conn_policy(w->conn, &w->policy);
		break;
	case ASK_PROOF:
		conn_proof(w->conn, w->secrets, w->n_secrets);
		break;
	case ASK_SESSION:
		begin(w);
		break;
	case ASK_TARGETS:
		conn_targets(w->conn, targets, sizeof(targets));
		break;
	case ASK_NONE:
		break;
	}
}

static bool drain(struct world *w)
{
	struct iscsi_iov iov[7];
	unsigned n = conn_output(w->conn, iov, 7);
	size_t all = 0;

	for (unsigned i = 0; i < n; i++) {
		buf_put(&w->out, iov[i].base, iov[i].len);
		all += iov[i].len;
	}
	if (n)
		conn_sent(w->conn, all);
	return n != 0;
}

static bool run_one(struct world *w)
{
	struct iscsi_tmf *tmf;
	bool more = false;
	struct task *t;

	if (!w->conn || w->conn->closing == CLOSING_NOW)
		return false;
	while (w->conn->ask != ASK_NONE && w->conn->closing == CLOSING_NO)
		answer(w);
	while (w->conn->session && (t = session_next_task(w->session))) {
		if (w->hold && w->n_held < 64)
			w->held[w->n_held++] = t;
		else
			execute(w, t);
		more = true;
	}
	while (w->conn->session && (tmf = conn_next_tmf(w->conn))) {
		struct task_choice before = { .lun = tmf->lun, .itt = TAG_NONE, .before = true, .cmdsn = tmf->cmdsn };

		session_abort_notice(w->session, &before, tmf->conn);
		session_abort_choice(w->session, &before, tmf);
		conn_tmf_done(w->session, tmf, TMF_RSP_COMPLETE);
		more = true;
	}
	return drain(w) || more;
}

void world_run(struct world *w)
{
	unsigned at = w->at;
	bool more = true;

	while (more) {
		more = run_one(w);
		for (unsigned i = 0; i < WORLD_LINKS; i++)
			if (i != at && w->links[i].conn) {
				world_take(w, i);
				more |= run_one(w);
				world_take(w, at);
			}
	}
}

void world_release(struct world *w)
{
	for (unsigned i = 0; i < w->n_held; i++)
		execute(w, w->held[i]);
	w->n_held = 0;
	world_run(w);
}

void world_feed(struct world *w, const void *bytes, size_t n, size_t piece)
{
	const uint8_t *p = bytes;

	while (n && w->conn->closing == CLOSING_NO) {
		size_t k = piece && piece < n ? piece : n, direct = 0;
		void *place;
		uint32_t want = conn_reading(w->conn) ? conn_want(w->conn, &place) : 0;

		if (want) {
			direct = want < k ? want : k;
			memcpy(place, p, direct);
			conn_got(w->conn, (uint32_t)direct);
		}
		if (direct < k)
			conn_feed(w->conn, p + direct, k - direct);
		p += k;
		n -= k;
		world_run(w);
	}
}

const uint8_t *world_pdu(struct world *w, const uint8_t **data)
{
	const uint8_t *bhs = w->out.data + w->out_at;
	size_t left = w->out.len - w->out_at, len;
	bool login;

	if (left < BHS_LEN)
		return NULL;
	login = bhs_op(bhs) == PDU_LOGIN_RESPONSE;
	len = BHS_LEN + (!login && w->conn->header_digest ? DIGEST_LEN : 0);
	*data = bhs + len;
	len += bhs_data_len(bhs) + pdu_pad(bhs_data_len(bhs));
	if (bhs_data_len(bhs) && !login && w->conn->data_digest)
		len += DIGEST_LEN;
	CHECK(len <= left);
	w->out_at += len;
	return bhs;
}

/* ---- PDUs ---- */

void pdu_put(struct buf *b, const uint8_t *bhs, const void *data, uint32_t len, bool digests)
{
	static const uint8_t zero[4];
	uint8_t d[4];
	uint32_t crc;

	buf_put(b, bhs, BHS_LEN);
	if (digests) {
		put_digest(d, crc32c(0, bhs, BHS_LEN));
		buf_put(b, d, 4);
	}
	if (!len)
		return;
	buf_put(b, data, len);
	buf_put(b, zero, pdu_pad(len));
	if (digests) {
		crc = crc32c(crc32c(0, data, len), zero, pdu_pad(len));
		put_digest(d, crc);
		buf_put(b, d, 4);
	}
}

void put_login(struct buf *b, unsigned csg, unsigned nsg, bool transit, const char *text, size_t len)
{
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, PDU_LOGIN, (uint8_t)((transit ? LOGIN_TRANSIT : 0) | csg << 2 | nsg), (uint32_t)len, 1);
	bhs[0] |= PDU_IMMEDIATE;
	memcpy(bhs + 8, "\x80\x12\x34\x56\x00\x01", 6);
	put32(bhs + 24, 1);
	pdu_put(b, bhs, text, (uint32_t)len, false);
}

unsigned world_join(struct world *w, unsigned i, uint16_t cid, const char *keys, size_t len)
{
	struct buf text = { 0 }, b = { 0 };
	const uint8_t *bhs, *data;
	unsigned status;

	world_use(w, i);
	buf_put(&text, LOGIN_KEYS, sizeof(LOGIN_KEYS) - 1);
	buf_put(&text, keys, len);
	put_login(&b, STAGE_OPERATIONAL, STAGE_FULL_FEATURE, true, (char *)text.data, text.len);
	put16(b.data + 14, w->session ? w->session->tsih : 7);
	put16(b.data + 20, cid);
	put32(b.data + 24, w->cmdsn);
	put32(b.data + 28, w->exp_statsn);
	world_feed(w, b.data, b.len, 0);
	bhs = world_pdu(w, &data);
	CHECK(bhs && bhs_op(bhs) == PDU_LOGIN_RESPONSE);
	status = get16(bhs + 36);
	buf_fini(&text);
	buf_fini(&b);
	return status;
}

uint32_t put_command(struct world *w, struct buf *b, unsigned flags, const uint8_t *cdb, uint32_t edtl,
	const void *data, uint32_t len)
{
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, PDU_SCSI_COMMAND, (uint8_t)(flags | TASK_SIMPLE), len, w->itt);
	put32(bhs + 20, edtl);
	put32(bhs + 24, w->cmdsn++);
	put32(bhs + 28, w->exp_statsn);
	memcpy(bhs + 32, cdb, 16);
	pdu_put(b, bhs, data, len, w->conn->header_digest);
	return w->itt++;
}

void put_data_out(struct world *w, struct buf *b, uint32_t itt, uint32_t ttt, uint32_t datasn,
	uint32_t offset, bool final,
                  const void *data, uint32_t len)
{
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, PDU_DATA_OUT, final ? PDU_FINAL : 0, len, itt);
	put32(bhs + 20, ttt);
	put32(bhs + 28, w->exp_statsn);
	put32(bhs + 36, datasn);
	put32(bhs + 40, offset);
	pdu_put(b, bhs, data, len, w->conn->header_digest);
}

void world_login(struct world *w, const char *keys, size_t len)
{
	struct buf text = { 0 }, b = { 0 };
	const uint8_t *bhs, *data;

	buf_put(&text, LOGIN_KEYS, sizeof(LOGIN_KEYS) - 1);
	buf_put(&text, keys, len);
	put_login(&b, STAGE_OPERATIONAL, STAGE_FULL_FEATURE, true, (char *)text.data, text.len);
	world_feed(w, b.data, b.len, 0);
	bhs = world_pdu(w, &data);
	CHECK(bhs && bhs_op(bhs) == PDU_LOGIN_RESPONSE);
	CHECK_EQ(get16(bhs + 36), 0);
	CHECK(w->conn->state == CONN_S5_LOGGED_IN);
	buf_fini(&text);
	buf_fini(&b);
}
