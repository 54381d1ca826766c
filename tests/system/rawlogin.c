/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins that no well-behaved initiator makes, over real sockets: the same session again and again, from
 * many threads at once, beside connections that never log in, and a thousand sessions. Arguments: PORT IQN
 * [PID of director-target].
 *   rawlogin --nexus-reset PORT IQN LUN CDB>DATA CDB     what of an EXTENDED COPY that goes on in the background is
 *                    under way when an I_T NEXUS RESET is answered: as RECEIVE COPY STATUS says, before and after it
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "target/iscsi/pdu.h"
#include "tests/unit/check.h"

static uint16_t port;
static char keys[512];
static size_t keys_len;

static int tcp(void)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Logs in as session `n`: the status, and the TSIH. */
static unsigned login(int fd, uint32_t n, unsigned *tsih)
{
	uint8_t b[BHS_LEN + 512] = { 0 }, r[BHS_LEN + 1024];
	size_t got = 0, len = BHS_LEN;

	bhs_init(b, PDU_LOGIN, 0x87, (uint32_t)keys_len, 1);
	b[0] |= PDU_IMMEDIATE;
	b[8] = 0x80;
	put32(b + 10, n);
	put32(b + 24, 1);
	memcpy(b + BHS_LEN, keys, keys_len);
	CHECK(send(fd, b, BHS_LEN + keys_len + pdu_pad((uint32_t)keys_len), MSG_NOSIGNAL) > 0);
	while (got < len) {
		ssize_t k = recv(fd, r + got, len - got, 0);

		if (k <= 0)
			return 0xffff;
		got += (size_t)k;
		if (got == BHS_LEN)
			len = BHS_LEN + bhs_data_len(r) + pdu_pad(bhs_data_len(r));
		CHECK(len <= sizeof(r));
	}
	if (tsih)
		*tsih = get16(r + 14);
	return get16(r + 36);
}

static void the_same_session_again_ends_the_old_one(void)
{
	unsigned tsih, before = 0;
	int old = -1, fd;
	char c;

	for (unsigned i = 0; i < 20; i++) {
		fd = tcp();
		CHECK_EQ(login(fd, 1, &tsih), 0);
		CHECK(tsih != before);
		before = tsih;
		if (old >= 0) {
			CHECK_EQ(recv(old, &c, 1, 0), 0);
			close(old);
		}
		old = fd;
	}
	close(old);
}

static void *racer(void *arg)
{
	unsigned *ok = arg;

	for (unsigned i = 0; i < 25; i++) {
		int fd = tcp();

		*ok += login(fd, 2, NULL) == 0;
		close(fd);
	}
	return NULL;
}

static void racing_for_one_session_lets_everyone_in_in_turn(void)
{
	pthread_t t[8];
	unsigned ok[8] = { 0 }, sum = 0;

	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, racer, &ok[i]), 0);
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		sum += ok[i];
	}
	CHECK_EQ(sum, 200);
}

static void stalled_logins_do_not_keep_others_out(void)
{
	int stalled[400], fd;

	for (unsigned i = 0; i < 400; i++)
		stalled[i] = tcp();
	fd = tcp();
	CHECK_EQ(login(fd, 3, NULL), 0);
	close(fd);
	for (unsigned i = 0; i < 400; i++)
		close(stalled[i]);
}

/* The next PDU's header; its data is read over. */
static void next_pdu(int fd, uint8_t bhs[BHS_LEN])
{
	uint8_t skip[1024];
	size_t data;

	CHECK_EQ(recv(fd, bhs, BHS_LEN, MSG_WAITALL), BHS_LEN);
	data = bhs_data_len(bhs) + pdu_pad(bhs_data_len(bhs));
	CHECK(data <= sizeof(skip));
	if (data)
		CHECK_EQ(recv(fd, skip, data, MSG_WAITALL), (ssize_t)data);
}

/* 11.5.1: all sessions end by it, also the one that asked, after its answer. */
static void a_cold_reset_ends_every_session(void)
{
	uint8_t b[BHS_LEN], r[BHS_LEN];
	int one = tcp(), other = tcp();

	CHECK_EQ(login(one, 4, NULL), 0);
	CHECK_EQ(login(other, 5, NULL), 0);
	bhs_init(b, PDU_TASK_MGMT, 0x80 | TMF_TARGET_COLD_RESET, 0, 7);
	b[0] |= PDU_IMMEDIATE;
	put32(b + 20, TAG_NONE);
	put32(b + 24, 2);
	CHECK_EQ(send(one, b, BHS_LEN, MSG_NOSIGNAL), BHS_LEN);
	next_pdu(one, r);
	CHECK(bhs_op(r) == PDU_TASK_MGMT_RESPONSE && r[2] == TMF_RSP_COMPLETE);
	next_pdu(one, r);
	CHECK(bhs_op(r) == PDU_ASYNC && r[36] == ASYNC_LOGOUT);
	next_pdu(other, r);
	CHECK(bhs_op(r) == PDU_ASYNC && r[36] == ASYNC_LOGOUT);
	close(one);
	close(other);
}

static unsigned resident_kb(const char *pid)
{
	char path[64], line[128];
	unsigned kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %u", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static void a_thousand_sessions(const char *pid)
{
	static int fds[900];
	unsigned before = pid ? resident_kb(pid) : 0;

	for (unsigned i = 0; i < 900; i++) {
		fds[i] = tcp();
		CHECK_EQ(login(fds[i], 100 + i, NULL), 0);
	}
	if (pid)
		printf("  resident: %u kB, with 900 sessions more %u kB\n", before, resident_kb(pid));
	for (unsigned i = 0; i < 900; i++)
		close(fds[i]);
}

/* ---- I_T NEXUS RESET ---- */

static uint32_t cmdsn = 1;

static uint32_t hex(const char *s, uint8_t *to, size_t max)
{
	uint32_t n = 0;
	unsigned byte;

	for (; n < max && sscanf(s, "%2x", &byte) == 1 && s[0] != '>'; s += 2)
		to[n++] = (uint8_t)byte;
	return n;
}

/* The next PDU but pings, which is of the kind; 0: of any. Its data goes to `data`, which has 1024 bytes. */
static void wait_pdu(int fd, unsigned op, uint8_t r[BHS_LEN], uint8_t *data)
{
	do {
		size_t n;

		CHECK_EQ(recv(fd, r, BHS_LEN, MSG_WAITALL), BHS_LEN);
		n = bhs_data_len(r) + pdu_pad(bhs_data_len(r));
		CHECK(n <= 1024 && (n == 0 || recv(fd, data, n, MSG_WAITALL) == (ssize_t)n));
	} while (bhs_op(r) == PDU_NOP_IN);
	CHECK(!op || bhs_op(r) == op);
}

static void command(int fd, unsigned lun, const char *text, uint32_t expect_in)
{
	uint8_t b[BHS_LEN + 8192] = { 0 };
	const char *out = strchr(text, '>');
	uint32_t n = out ? hex(out + 1, b + BHS_LEN, 8192) : 0;

	bhs_init(b, PDU_SCSI_COMMAND, (uint8_t)(0x80 | (n ? 0x20 : 0x40) | 1), n, 10 + cmdsn);
	b[9] = (uint8_t)lun;
	put32(b + 20, n ? n : expect_in);
	put32(b + 24, cmdsn++);
	hex(text, b + 32, 16);
	CHECK_EQ(send(fd, b, BHS_LEN + n + pdu_pad(n), MSG_NOSIGNAL), (ssize_t)(BHS_LEN + n + pdu_pad(n)));
}

/* COPY OPERATION STATUS. A unit attention comes first, and is taken. */
static unsigned copy_state(int fd, unsigned lun, const char *how)
{
	uint8_t r[BHS_LEN], data[1024];

	for (unsigned i = 0; i < 4; i++) {
		command(fd, lun, how, 64);
		wait_pdu(fd, 0, r, data);
		if (bhs_op(r) == PDU_DATA_IN) {
			unsigned state = data[5];

			if (!(r[1] & 1))        /* its status comes by itself */
				wait_pdu(fd, PDU_SCSI_RESPONSE, r, data);
			return state;
		}
		CHECK(bhs_op(r) == PDU_SCSI_RESPONSE && r[3] == 0x02);
	}
	CHECK(!"unit attentions without end");
	return 0;
}

static int nexus_reset(unsigned lun, const char *copy, const char *how)
{
	uint8_t b[BHS_LEN], r[BHS_LEN], data[1024];
	unsigned before;
	int fd = tcp();

	CHECK_EQ(login(fd, 6, NULL), 0);
	do {                            /* until there is no unit attention */
		command(fd, lun, copy, 0);
		wait_pdu(fd, PDU_SCSI_RESPONSE, r, data);
	} while (r[3] == 0x02 && cmdsn < 6);
	CHECK_EQ(r[3], 0);
	before = copy_state(fd, lun, how);
	bhs_init(b, PDU_TASK_MGMT, 0x80 | TMF_I_T_NEXUS_RESET, 0, 7);
	b[0] |= PDU_IMMEDIATE;
	put32(b + 20, TAG_NONE);
	put32(b + 24, cmdsn);
	CHECK_EQ(send(fd, b, BHS_LEN, MSG_NOSIGNAL), BHS_LEN);
	wait_pdu(fd, PDU_TASK_MGMT_RESPONSE, r, data);
	CHECK_EQ(r[2], TMF_RSP_COMPLETE);
	printf("%02x %02x\n", before, copy_state(fd, lun, how));
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 7 && strcmp(argv[1], "--nexus-reset") == 0) {
		port = (uint16_t)atoi(argv[2]);
		keys_len = (size_t)snprintf(keys, sizeof(keys), "InitiatorName=iqn.2026-11.test:raw%cTargetName=%s%ciSCSIProtocolLevel=2%c", 0, argv[3], 0, 0);
		return nexus_reset((unsigned)atoi(argv[4]), argv[5], argv[6]);
	}
	if (argc < 3)
		return 2;
	port = (uint16_t)atoi(argv[1]);
	keys_len = (size_t)snprintf(keys, sizeof(keys),
		"InitiatorName=iqn.2026-11.test:raw%cTargetName=%s%c", 0, argv[2], 0);
	RUN(the_same_session_again_ends_the_old_one);
	RUN(racing_for_one_session_lets_everyone_in_in_turn);
	RUN(stalled_logins_do_not_keep_others_out);
	RUN(a_cold_reset_ends_every_session);
	a_thousand_sessions(argc > 3 ? argv[3] : NULL);
	puts("ok a_thousand_sessions");
	return 0;
}
