/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence-agent: switches a node off with one of the fence-agents' programs (fence_ipmilan, fence_apc …). Verb `off` hands the
 * agent its options as KEY=VALUE lines on standard input, as their FenceAgentAPI has it; exit status 0 says that the node is off.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINES_MAX 8192
#define SAID_MAX 200

static int failed(const char *fmt, const char *what)
{
	char text[512];
	json_t *o;

	snprintf(text, sizeof(text), fmt, what);
	o = json_pack("{s:s}", "error", text);
	if (o)
		json_dumpf(o, stdout, 0);
	json_decref(o);
	return 1;
}

static int probe(void)
{
	puts("{\"name\": \"fence-agent\", \"kind\": \"fence\", \"version\": \"1\", \"license\": \"Apache-2.0\", \"abi\": \"1.0\",\n"
	     " \"summary\": \"switches a node off with a program of the fence-agents\",\n"
	     " \"params\": [{\"name\": \"agent\", \"type\": \"string\", \"required\": true,\n"
	     "             \"help\": \"the agent, such as fence_ipmilan, or its absolute path; all other options are its own\"}]}");
	return 0;
}

/* fence_NAME, looked for where packages put them, or an absolute path to one. Only root may have written it. */
static const char *agent_find(const char *name, char *path, size_t size)
{
	static const char *const dirs[] = { "/usr/sbin", "/usr/local/sbin", "/sbin" };
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	struct stat st;

	if (strncmp(base, "fence_", 6) != 0 || (base != name && name[0] != '/'))
		return "agent=%s: the name of an agent begins with fence_, with a path or without";
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (base != name)
			snprintf(path, size, "%s", name);
		else
			snprintf(path, size, "%s/%s", dirs[i], name);
		if (stat(path, &st) < 0)
			continue;
		if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
			return "agent=%s: is no program that only root may change";
		return NULL;
	}
	return "there is no agent %s on this node";
}

/* Keys and values one a line; a line break in one would be another option. */
static bool options(json_t *params, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "action=off\n");
	const char *key;
	json_t *v;

	json_object_foreach(params, key, v) {
		const char *value = json_string_value(v);

		if (!value || strpbrk(key, "=\n") || strchr(value, '\n'))
			return false;
		if (strcmp(key, "agent") == 0 || strcmp(key, "action") == 0)
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s=%s\n", key, value);
		if (n >= size)
			return false;
	}
	return true;
}

static _Noreturn void child(const char *path, const int in[2], const int out[2])
{
	dup2(in[0], 0);
	dup2(out[1], 1);
	dup2(out[1], 2);
	close(in[0]);
	close(in[1]);
	close(out[0]);
	close(out[1]);
	execl(path, path, (char *)NULL);
	_exit(127);
}

/* The last line that it said. */
struct word {
	char said[SAID_MAX];
	size_t n;
	bool on;                        /* in the middle of a line */
};

static void word_add(struct word *w, const char *p, size_t n)
{
	for (; n--; p++) {
		if (*p == '\n') {
			w->on = false;
			continue;
		}
		if (!w->on)
			w->n = 0;
		w->on = true;
		if (w->n + 1 < SAID_MAX)
			w->said[w->n++] = isprint((unsigned char)*p) ? *p : '?';
		w->said[w->n] = '\0';
	}
}

/* Until the agent has ended: something that it left running may hold its output open for ever, and write to it. */
static void listen_to(int fd, pid_t pid, struct word *w)
{
	struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd_open(pid, 0), .events = POLLIN } };
	char buf[4096];
	ssize_t n = 1;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (n > 0 || (n < 0 && errno == EAGAIN && !p[1].revents)) {
		unsigned more = 16;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		while (more-- && (n = read(fd, buf, sizeof(buf))) > 0)
			word_add(w, buf, (size_t)n);
		if (p[1].revents)
			break;
	}
	close(p[1].fd);
}

static int run(const char *path, const char *lines)
{
	struct word w = { .said = "it said nothing" };
	int in[2], out[2], status;
	pid_t pid;

	if (pipe(in) < 0 || pipe(out) < 0)
		return failed("no pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return failed("no process: %s", strerror(errno));
	if (pid == 0)
		child(path, in, out);
	close(in[0]);
	close(out[1]);
	/* It fits into the pipe. */
	if (write(in[1], lines, strlen(lines)) < 0)
		snprintf(w.said, sizeof(w.said), "it did not read its options");
	close(in[1]);
	listen_to(out[0], pid, &w);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return failed("the agent failed: %s", w.said);
	puts("{}");
	return 0;
}

static int off(void)
{
	char path[512], lines[LINES_MAX];
	json_t *ask = json_loadf(stdin, JSON_REJECT_DUPLICATES, NULL);
	json_t *params = json_object_get(ask, "params");
	const char *agent = json_string_value(json_object_get(params, "agent"));
	const char *bad = agent ? agent_find(agent, path, sizeof(path)) : "%sthe option agent= is missing";
	int status;

	if (bad)
		status = failed(bad, agent ? agent : "");
	else if (!options(params, lines, sizeof(lines)))
		status = failed("%s: its options are too long, or not one line each", agent);
	else
		status = run(path, lines);
	json_decref(ask);
	return status;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "probe") == 0)
		return probe();
	if (argc == 2 && strcmp(argv[1], "off") == 0)
		return off();
	return 2;
}
