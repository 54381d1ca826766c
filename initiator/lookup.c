/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that targets redirect to, resolved by a thread aside: a name server may take its time, and the loop has other sessions.
 * Who asked may go away meanwhile; the last of the two frees.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "initiator/priv.h"

struct lookup {
	atomic_uint refs;
	atomic_bool over;
	int bell, result;
	unsigned len;
	struct sockaddr_storage addr;
	char text[];
};

static void put(struct lookup *l)
{
	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	close(l->bell);
	free(l);
}

static void *resolve(void *arg)
{
	struct lookup *l = arg;
	uint64_t one = 1;

	l->result = address_parse(l->text, false, &l->addr, &l->len);
	atomic_store(&l->over, true);
	/* If it is full, it rings already. */
	while (write(l->bell, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	put(l);
	return NULL;
}

struct lookup *lookup_start(const char *text, int bell)
{
	struct lookup *l = calloc(1, sizeof(*l) + strlen(text) + 1);
	pthread_t thread;

	if (!l)
		return NULL;
	memcpy(l->text, text, strlen(text));
	atomic_store(&l->refs, 2);
	l->bell = fcntl(bell, F_DUPFD_CLOEXEC, 0);
	if (l->bell >= 0 && pthread_create(&thread, NULL, resolve, l) == 0) {
		pthread_detach(thread);
		return l;
	}
	if (l->bell >= 0)
		close(l->bell);
	free(l);
	return NULL;
}

bool lookup_over(const struct lookup *l)
{
	return atomic_load(&l->over);
}

int lookup_result(const struct lookup *l, struct sockaddr_storage *addr, unsigned *len)
{
	*addr = l->addr;
	*len = l->len;
	return l->result;
}

void lookup_free(struct lookup **lookup)
{
	if (*lookup)
		put(*lookup);
	*lookup = NULL;
}
