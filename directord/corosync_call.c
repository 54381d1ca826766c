/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait: file writes with fsync, and Corosync's own libraries, which answer when the ring does. */
#include "directord/corosync_int.h"

#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

struct corosync_calls {
	struct ev_loop *loop;
	struct ev_async wake;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct corosync_call *todo, **todo_last, *done, **done_last;
	bool stop, busy;
	bool abandoned;                 /* closed while a call was under way: the thread frees all of it */
};

static int fail_errno(struct corosync_call *call, const char *what, const char *path)
{
	int e = errno;

	call->why = mem_printf("%s %s: %s", what, path, strerror(e));
	return err_from_errno(e);
}

static int write_synced(struct corosync_call *call, const char *path, mode_t mode, const void *data, size_t len)
{
	int fd, err = 0;

	/* A file of another mode may be left from before; the mode of a new one is the only safe one. */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return fail_errno(call, "cannot create", path);
	for (size_t at = 0; at < len && !err;) {
		ssize_t n = write(fd, (const char *)data + at, len - at);

		if (n < 0 && errno != EINTR)
			err = fail_errno(call, "cannot write", path);
		else if (n > 0)
			at += (size_t)n;
	}
	if (!err && fsync(fd) < 0)
		err = fail_errno(call, "cannot sync", path);
	if (close(fd) < 0 && !err)
		err = fail_errno(call, "cannot write", path);
	return err;
}

static int sync_dir(struct corosync_call *call)
{
	int fd = open(call->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		err = fail_errno(call, "cannot sync", call->dir);
	if (fd >= 0)
		close(fd);
	return err;
}

static int write_files(struct corosync_call *call)
{
	uint8_t authkey[COROSYNC_AUTHKEY_LEN];
	char name[40], *conf, *key;
	int err;

	conf = mem_printf("%s/corosync.conf.new", call->dir);
	key = mem_printf("%s/%s", call->dir, corosync_key_name(call->key, name));
	corosync_authkey(call->key, authkey);
	err = write_synced(call, key, 0400, authkey, sizeof(authkey));
	if (!err)
		err = write_synced(call, conf, 0600, call->text, strlen(call->text));
	sodium_memzero(authkey, sizeof(authkey));
	free(conf);
	free(key);
	return err;
}

/* Keys that no file names any more. */
static void remove_old_keys(struct corosync_call *call)
{
	char name[40];
	DIR *d = opendir(call->dir);
	struct dirent *e;

	corosync_key_name(call->key, name);
	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, "authkey-", 8) == 0 && strcmp(e->d_name, name) != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

static int install_files(struct corosync_call *call)
{
	auto_free char *from = mem_printf("%s/corosync.conf.new", call->dir);
	auto_free char *to = mem_printf("%s/corosync.conf", call->dir);
	int err;

	if (rename(from, to) < 0)
		return fail_errno(call, "cannot rename", from);
	err = sync_dir(call);
	if (!err)
		remove_old_keys(call);
	return err;
}

static int err_of(cs_error_t rc)
{
	switch (rc) {
	case CS_OK:
		return 0;
	case CS_ERR_TRY_AGAIN:
	case CS_ERR_TIMEOUT:
	case CS_ERR_BUSY:
	case CS_ERR_QUEUE_FULL:
		return ERR_AGAIN;
	case CS_ERR_INVALID_PARAM:
		return ERR_INVAL;
	case CS_ERR_ACCESS:
	case CS_ERR_SECURITY:
		return ERR_DENIED;
	case CS_ERR_NOT_EXIST:
		return ERR_NOENT;
	default:
		return ERR_UNREACHABLE;
	}
}

static int reload(struct corosync_call *call)
{
	corosync_cfg_handle_t h;
	cs_error_t rc = corosync_cfg_initialize(&h, NULL);

	if (rc == CS_OK) {
		rc = corosync_cfg_reload_config(h);
		corosync_cfg_finalize(h);
	}
	if (rc != CS_OK)
		call->why = mem_printf("Corosync answers: %s", cs_strerror(rc));
	return err_of(rc);
}

static void read_nodeids(cmap_handle_t h, struct corosync_active *a)
{
	char key[CMAP_KEYNAME_MAXLEN + 1], name[CMAP_KEYNAME_MAXLEN + 1];
	cmap_value_types_t type;
	cmap_iter_handle_t it;
	uint32_t id, pos;
	size_t len;

	if (cmap_iter_init(h, "nodelist.node.", &it) != CS_OK)
		return;
	while (cmap_iter_next(h, it, key, &len, &type) == CS_OK) {
		const char *dot = strrchr(key, '.');

		if (!dot || strcmp(dot, ".nodeid") != 0 || cmap_get_uint32(h, key, &id) != CS_OK)
			continue;
		if (a->n_nodes < ARRAY_LEN(a->nodeids))
			a->nodeids[a->n_nodes++] = id;
	}
	cmap_iter_finalize(h, it);
	if (cmap_get_uint32(h, "nodelist.local_node_pos", &pos) == CS_OK) {
		snprintf(name, sizeof(name), "nodelist.node.%u.nodeid", pos);
		cmap_get_uint32(h, name, &a->self);
	}
}

static int id_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int read_active(struct corosync_call *call)
{
	struct corosync_active *a = &call->active;
	cmap_handle_t h;
	char *text = NULL;
	cs_error_t rc = cmap_initialize(&h);

	if (rc != CS_OK) {
		call->why = mem_printf("Corosync answers: %s", cs_strerror(rc));
		return err_of(rc);
	}
	if (cmap_get_string(h, "director.version", &text) == CS_OK) {
		text_u64_parse(text, &a->version);
		free(text);
	}
	text = NULL;
	if (cmap_get_string(h, "director.hash", &text) == CS_OK) {
		text_hex_parse(text, a->hash, sizeof(a->hash));
		free(text);
	}
	read_nodeids(h, a);
	cmap_finalize(h);
	qsort(a->nodeids, a->n_nodes, sizeof(a->nodeids[0]), id_cmp);
	return 0;
}

static int run(struct corosync_call *call)
{
	switch (call->kind) {
	case CALL_WRITE:
		return write_files(call);
	case CALL_INSTALL:
		return install_files(call);
	case CALL_RELOAD:
		return reload(call);
	case CALL_ACTIVE:
		return read_active(call);
	}
	return ERR_INVAL;
}

static void call_free(struct corosync_call *call)
{
	sodium_memzero(call->key, sizeof(call->key));
	free(call->dir);
	free(call->text);
	free(call->why);
	free(call);
}

static void list_free(struct corosync_call *list)
{
	while (list) {
		struct corosync_call *next = list->next;

		call_free(list);
		list = next;
	}
}

static void calls_free(struct corosync_calls *c)
{
	list_free(c->todo);
	list_free(c->done);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->work);
	free(c);
}

static void *calls_thread(void *arg)
{
	struct corosync_calls *c = arg;
	bool abandoned;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		struct corosync_call *call = c->todo;

		if (!call) {
			pthread_cond_wait(&c->work, &c->lock);
			continue;
		}
		c->todo = call->next;
		if (!c->todo)
			c->todo_last = &c->todo;
		c->busy = true;
		pthread_mutex_unlock(&c->lock);
		call->next = NULL;
		call->err = run(call);
		pthread_mutex_lock(&c->lock);
		c->busy = false;
		*c->done_last = call;
		c->done_last = &call->next;
		if (!c->stop)
			ev_async_send(c->loop, &c->wake);
	}
	abandoned = c->abandoned;
	pthread_mutex_unlock(&c->lock);
	if (abandoned)
		calls_free(c);
	return NULL;
}

static void on_wake(struct ev_loop *loop, struct ev_async *w, int revents)
{
	struct corosync_calls *c = w->data;
	struct corosync_call *call;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		call = c->done;
		if (call) {
			c->done = call->next;
			if (!c->done)
				c->done_last = &c->done;
		}
		pthread_mutex_unlock(&c->lock);
		if (!call)
			return;
		call->done(call);
		call_free(call);
	}
}

struct corosync_calls *corosync_calls_open(struct ev_loop *loop)
{
	struct corosync_calls *c = mem_zalloc(sizeof(*c));
	sigset_t all, old;

	c->loop = loop;
	c->todo_last = &c->todo;
	c->done_last = &c->done;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	ev_async_init(&c->wake, on_wake);
	c->wake.data = c;
	ev_async_start(loop, &c->wake);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&c->thread, NULL, calls_thread, c))
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c;
}

void corosync_calls_close(struct corosync_calls **cp)
{
	struct corosync_calls *c = *cp;
	bool abandoned;

	*cp = NULL;
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	ev_async_stop(c->loop, &c->wake);
	c->stop = true;
	c->abandoned = abandoned = c->busy;
	if (abandoned)
		pthread_detach(c->thread);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	if (abandoned)
		return;
	pthread_join(c->thread, NULL);
	calls_free(c);
}

void corosync_calls_put(struct corosync_calls *c, struct corosync_call *call)
{
	call->next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->todo_last = call;
	c->todo_last = &call->next;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}
