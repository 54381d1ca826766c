/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output of the initiator. PDUs are cut when there is room for them: headers, padding and digests into a piece of memory
 * of the connection, data stays where the caller has it. Headers that follow each other become one piece.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "target/iscsi/ini.h"

#define FRAGMENTS_MAX 64                /* of the caller's memory in one PDU */
#define AHEAD_MAX (1u << 20)            /* bytes cut into PDUs and not yet sent */
#define HEAD_ROOM (PDU_HEADER_MAX + 3 + DIGEST_LEN)

void ini_out_init(struct ini_conn *c)
{
	c->out.small = NULL;
	c->out.small_tail = &c->out.small;
	c->out.todo = NULL;
	c->out.todo_tail = &c->out.todo;
	c->out.data = NULL;
	c->out.data_tail = &c->out.data;
	c->out.first = c->out.n = 0;
	c->out.sent = 0;
	c->out.heads_len = 0;
}

static void seg_gone(struct ini_conn *c, struct ini_seg *g)
{
	free(g->small);
	if (g->cmd && --g->cmd->wires == 0)
		ini_flush_done(c->s, g->cmd);
}

/* The lists of commands are emptied too; their owner knows them by their slots. */
void ini_out_clear(struct ini_conn *c)
{
	struct ini_small *m;

	for (unsigned i = 0; i < c->out.n; i++)
		seg_gone(c, &c->out.seg[(c->out.first + i) % INI_SEGS]);
	while ((m = c->out.small)) {
		c->out.small = m->next;
		free(m);
	}
	for (struct ini_cmd *cmd = c->out.data; cmd; cmd = cmd->data_next)
		cmd->on_data = false;
	ini_out_init(c);
}

struct ini_small *ini_put(struct ini_conn *c, enum pdu_op op, uint8_t flags, uint32_t itt, const void *data, uint32_t len)
{
	struct ini_small *m = mem_alloc(sizeof(*m) + len + 1);

	m->next = NULL;
	m->len = len;
	bhs_init(m->bhs, op, flags, len, itt);
	/* Everything of ours but commands and data is immediate: it does not wait for a window. */
	if (op != PDU_DATA_OUT && op != PDU_SNACK)
		m->bhs[0] |= PDU_IMMEDIATE;
	if (op == PDU_NOP_OUT || op == PDU_TEXT)
		put32(m->bhs + 20, TAG_NONE);
	if (len)
		memcpy(m->data, data, len);
	*c->out.small_tail = m;
	c->out.small_tail = &m->next;
	return m;
}

void ini_ready_data(struct ini_conn *c, struct ini_cmd *cmd)
{
	if (cmd->on_data)
		return;
	cmd->on_data = true;
	cmd->data_next = NULL;
	*c->out.data_tail = cmd;
	c->out.data_tail = &cmd->data_next;
}

void ini_out_forget(struct ini_conn *c, struct ini_cmd *cmd)
{
	if (cmd->on_data) {
		struct ini_cmd **p = &c->out.data;

		while (*p != cmd)
			p = &(*p)->data_next;
		*p = cmd->data_next;
		if (!*p)
			c->out.data_tail = p;
		cmd->on_data = false;
	}
	if (cmd->state == ICMD_QUEUED) {
		struct ini_cmd **p = &c->out.todo;

		while (*p && *p != cmd)
			p = &(*p)->next;
		if (*p) {
			*p = cmd->next;
			if (!*p)
				c->out.todo_tail = p;
		}
	}
}

/* ---- cutting ---- */

static void seg_add(struct ini_conn *c, const void *p, size_t len, struct ini_cmd *cmd, struct ini_small *small)
{
	struct ini_seg *g = c->out.n ? &c->out.seg[(c->out.first + c->out.n - 1) % INI_SEGS] : NULL;

	if (!len && !small)
		return;
	if (g && g->p + g->len == p && g->cmd == cmd && !g->small && !small) {
		g->len += len;
		return;
	}
	assert(c->out.n < INI_SEGS);
	g = &c->out.seg[(c->out.first + c->out.n++) % INI_SEGS];
	*g = (struct ini_seg){ p, len, cmd, small };
	if (cmd)
		cmd->wires++;
}

static bool room(const struct ini_conn *c)
{
	return c->out.n + FRAGMENTS_MAX + 4 <= INI_SEGS && c->out.heads_len + HEAD_ROOM <= INI_HEADS;
}

static uint8_t *head(struct ini_conn *c)
{
	return c->out.heads + c->out.heads_len;
}

static void head_add(struct ini_conn *c, uint32_t len)
{
	seg_add(c, head(c), len, NULL, NULL);
	c->out.heads_len += len;
}

/* The header at head() is complete: digest it and queue it. */
static void head_end(struct ini_conn *c, uint32_t len)
{
	if (c->header_digest) {
		put_digest(head(c) + len, crc32c(0, head(c), len));
		len += DIGEST_LEN;
	}
	head_add(c, len);
}

static void tail(struct ini_conn *c, uint32_t len, uint32_t crc)
{
	uint32_t pad = pdu_pad(len);
	uint8_t *p = head(c);

	memset(p, 0, pad);
	if (c->data_digest) {
		put_digest(p + pad, crc32c(crc, p, pad));
		pad += DIGEST_LEN;
	}
	head_add(c, pad);
}

/* How much of the caller's data from `offset` fits into one PDU of at most `max` bytes. */
static uint32_t data_fits(const struct ini_cmd *cmd, uint32_t offset, uint32_t max)
{
	uint32_t at = 0, n = 0, i = 0;

	while (i < cmd->n_out && offset - at >= cmd->out[i].len)
		at += (uint32_t)cmd->out[i++].len;
	for (unsigned k = 0; i < cmd->n_out && k < FRAGMENTS_MAX && n < max; i++, k++) {
		n += (uint32_t)(cmd->out[i].len - (k ? 0 : offset - at));
	}
	return n < max ? n : max;
}

static void data_add(struct ini_conn *c, struct ini_cmd *cmd, uint32_t offset, uint32_t len)
{
	uint32_t at = 0, i = 0, crc = 0, left = len;

	while (offset - at >= cmd->out[i].len)
		at += (uint32_t)cmd->out[i++].len;
	for (offset -= at; left; i++, offset = 0) {
		const uint8_t *p = (const uint8_t *)cmd->out[i].base + offset;
		uint32_t n = (uint32_t)cmd->out[i].len - offset;

		if (n > left)
			n = left;
		if (c->data_digest)
			crc = crc32c(crc, p, n);
		seg_add(c, p, n, cmd, NULL);
		left -= n;
	}
	tail(c, len, crc);
	c->s->bytes_out += len;
}

static uint32_t put_ahs(uint8_t *b, const struct ini_cmd *cmd)
{
	uint32_t n = 0;

	if (cmd->cdb_len > 16) {
		uint32_t extra = cmd->cdb_len - 16u;

		put16(b, (uint16_t)(extra + 1));
		b[2] = 1;                       /* 11.2.2.1: extended CDB */
		b[3] = 0;
		memcpy(b + 4, cmd->cdb + 16, extra);
		memset(b + 4 + extra, 0, pdu_pad(extra));
		n = 4 + extra + pdu_pad(extra);
	}
	if (cmd->read && cmd->write) {
		put16(b + n, 5);
		b[n + 2] = 2;                   /* bidirectional read length */
		b[n + 3] = 0;
		put32(b + n + 4, cmd->in_len);
		n += 8;
	}
	return n;
}

/* 11.3. How much of the data goes along, and how much follows unasked, was decided with the connection's parameters. */
static void cut_command(struct ini_conn *c, struct ini_cmd *cmd)
{
	struct ini_session *s = c->s;
	uint8_t *b = head(c), flags = cmd->attr;
	uint32_t immediate = 0, ahs;

	cmd->sent_out = cmd->unsolicited = cmd->datasn = 0;
	if (cmd->write && cmd->out_len) {
		uint32_t first = s->params.first_burst < cmd->out_len ? s->params.first_burst : cmd->out_len;

		if (s->params.immediate_data)
			immediate = data_fits(cmd, 0, first < c->max_send ? first : c->max_send);
		cmd->unsolicited = s->params.initial_r2t ? immediate : first;
	}
	if (cmd->unsolicited == immediate)
		flags |= PDU_FINAL;
	if (cmd->read)
		flags |= CMD_READ;
	if (cmd->write)
		flags |= CMD_WRITE;
	bhs_init(b, PDU_SCSI_COMMAND, flags, immediate, cmd->itt);
	memcpy(b + 8, cmd->lun, 8);
	put32(b + 20, cmd->write ? cmd->out_len : cmd->in_len);
	put32(b + 24, cmd->cmdsn);
	put32(b + 28, c->exp_statsn);
	memcpy(b + 32, cmd->cdb, cmd->cdb_len < 16 ? cmd->cdb_len : 16);
	ahs = put_ahs(b + BHS_LEN, cmd);
	b[4] = (uint8_t)(ahs / 4);
	head_end(c, BHS_LEN + ahs);
	if (immediate)
		data_add(c, cmd, 0, immediate);
	cmd->sent_out = immediate;
	cmd->cut = cmd->exposed = cmd->sent = true;
	cmd->sent_at = s->now;
	c->acked_statsn = c->exp_statsn;
}

/* 11.7: one Data-Out. */
static void cut_data(struct ini_conn *c, struct ini_cmd *cmd, uint32_t ttt, uint32_t datasn, uint32_t offset, uint32_t len,
	bool final)
{
	uint8_t *b = head(c);

	bhs_init(b, PDU_DATA_OUT, final ? PDU_FINAL : 0, len, cmd->itt);
	memcpy(b + 8, cmd->lun, 8);
	put32(b + 20, ttt);
	put32(b + 28, c->exp_statsn);
	put32(b + 36, datasn);
	put32(b + 40, offset);
	head_end(c, BHS_LEN);
	if (len)
		data_add(c, cmd, offset, len);
	c->acked_statsn = c->exp_statsn;
}

static void cut_unsolicited(struct ini_conn *c, struct ini_cmd *cmd)
{
	uint32_t left = cmd->unsolicited - cmd->sent_out;
	uint32_t len = data_fits(cmd, cmd->sent_out, left < c->max_send ? left : c->max_send);

	cut_data(c, cmd, TAG_NONE, cmd->datasn++, cmd->sent_out, len, len == left);
	cmd->sent_out += len;
}

static void cut_solicited(struct ini_conn *c, struct ini_cmd *cmd)
{
	struct ini_r2t *r = &cmd->r2t[0];
	uint32_t left = r->len - r->sent, offset = r->offset + r->sent;
	uint32_t len = data_fits(cmd, offset, left < c->max_send ? left : c->max_send);

	cut_data(c, cmd, r->ttt, r->datasn++, offset, len, len == left);
	r->sent += len;
	if (r->sent == r->len) {
		cmd->n_r2t--;
		memmove(&cmd->r2t[0], &cmd->r2t[1], cmd->n_r2t * sizeof(cmd->r2t[0]));
	}
}

static void cut_small(struct ini_conn *c, struct ini_small *m)
{
	uint8_t *b = head(c), op = bhs_op(m->bhs);
	uint32_t crc = 0;

	memcpy(b, m->bhs, BHS_LEN);
	if (bhs_immediate(b))
		put32(b + 24, c->s->cmdsn);
	if (op != PDU_LOGIN || c->exp_statsn)
		put32(b + 28, c->exp_statsn);
	c->acked_statsn = c->exp_statsn;
	if (op == PDU_LOGIN) {
		head_add(c, BHS_LEN);
		seg_add(c, m->data, m->len, NULL, m);
		memset(head(c), 0, 4);
		head_add(c, pdu_pad(m->len));
		return;
	}
	head_end(c, BHS_LEN);
	if (c->data_digest)
		crc = crc32c(0, m->data, m->len);
	seg_add(c, m->data, m->len, NULL, m);
	if (m->len)
		tail(c, m->len, crc);
}

/* The next PDU that waits; false: none. */
static bool cut(struct ini_conn *c, uint64_t *bytes)
{
	struct ini_small *m = c->out.small;
	struct ini_cmd *cmd;
	uint64_t before = c->s->bytes_out;

	if (m) {
		c->out.small = m->next;
		if (!c->out.small)
			c->out.small_tail = &c->out.small;
		cut_small(c, m);
		return true;
	}
	if ((cmd = c->out.data)) {
		cut_solicited(c, cmd);
		/* The others in turn: one large write does not hold up the rest. */
		c->out.data = cmd->data_next;
		if (!c->out.data)
			c->out.data_tail = &c->out.data;
		cmd->on_data = false;
		if (cmd->n_r2t)
			ini_ready_data(c, cmd);
	} else if ((cmd = c->out.todo)) {
		if (!cmd->cut)
			cut_command(c, cmd);
		else
			cut_unsolicited(c, cmd);
		/* 4.2.5.2: unsolicited data goes in the order of the commands. */
		if (cmd->sent_out == cmd->unsolicited) {
			c->out.todo = cmd->next;
			if (!c->out.todo)
				c->out.todo_tail = &c->out.todo;
			cmd->state = ICMD_SENT;
		}
	} else {
		return false;
	}
	*bytes += c->s->bytes_out - before;
	return true;
}

unsigned ini_output(struct ini_conn *c, struct ini_iov *iov, unsigned max)
{
	uint64_t bytes = 0;
	unsigned n = 0;

	if (!c->out.n)
		c->out.heads_len = 0;
	while (bytes < AHEAD_MAX && room(c) && cut(c, &bytes))
		;
	for (unsigned i = 0; i < c->out.n && n < max; i++) {
		const struct ini_seg *g = &c->out.seg[(c->out.first + i) % INI_SEGS];
		size_t skip = i ? 0 : c->out.sent;

		if (g->len > skip)
			iov[n++] = (struct ini_iov){ (uint8_t *)g->p + skip, g->len - skip };
	}
	return n;
}

void ini_sent(struct ini_conn *c, size_t n)
{
	c->out.sent += n;
	while (c->out.n) {
		struct ini_seg *g = &c->out.seg[c->out.first];

		if (c->out.sent < g->len)
			break;
		c->out.sent -= g->len;
		c->out.first = (c->out.first + 1) % INI_SEGS;
		c->out.n--;
		seg_gone(c, g);
	}
	assert(c->out.n || !c->out.sent);
}
