/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a whole LUN through libiscsi's own API into a file: another initiator than qemu's driver, for
 * comparing what one wrote with what the other sees.   iscsi-read iscsi://HOST:PORT/IQN/LUN FILE
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#define CHUNK_BLOCKS 512

static int fail(struct iscsi_context *i, const char *what)
{
	fprintf(stderr, "iscsi-read: %s: %s\n", what, i ? iscsi_get_error(i) : "");
	return 1;
}

int main(int argc, char **argv)
{
	struct iscsi_context *i;
	struct iscsi_url *url;
	struct scsi_task *task;
	struct scsi_readcapacity16 *cap;
	uint64_t lba = 0, blocks;
	uint32_t size;
	FILE *f;

	if (argc != 3) {
		fprintf(stderr, "usage: iscsi-read iscsi://HOST:PORT/IQN/LUN FILE\n");
		return 2;
	}
	i = iscsi_create_context("iqn.2026-01.org.example:iscsi-read");
	url = i ? iscsi_parse_full_url(i, argv[1]) : NULL;
	if (!url)
		return fail(i, argv[1]);
	iscsi_set_session_type(i, ISCSI_SESSION_NORMAL);
	iscsi_set_header_digest(i, ISCSI_HEADER_DIGEST_NONE_CRC32C);
	if (iscsi_full_connect_sync(i, url->portal, url->lun) != 0)
		return fail(i, "login");
	task = iscsi_readcapacity16_sync(i, url->lun);
	cap = task && task->status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(task) : NULL;
	if (!cap)
		return fail(i, "READ CAPACITY");
	blocks = cap->returned_lba + 1;
	size = cap->block_length;
	scsi_free_scsi_task(task);
	f = fopen(argv[2], "wb");
	if (!f)
		return fail(NULL, argv[2]);
	while (lba < blocks) {
		uint32_t n = blocks - lba < CHUNK_BLOCKS ? (uint32_t)(blocks - lba) : CHUNK_BLOCKS;

		task = iscsi_read16_sync(i, url->lun, lba, n * size, (int)size, 0, 0, 0, 0, 0);
		if (!task || task->status != SCSI_STATUS_GOOD || (uint32_t)task->datain.size != n * size)
			return fail(i, "READ(16)");
		if (fwrite(task->datain.data, size, n, f) != n)
			return fail(NULL, "write");
		scsi_free_scsi_task(task);
		lba += n;
	}
	fclose(f);
	iscsi_logout_sync(i);
	iscsi_destroy_url(url);
	iscsi_destroy_context(i);
	printf("%llu blocks of %u bytes\n", (unsigned long long)blocks, size);
	return 0;
}
