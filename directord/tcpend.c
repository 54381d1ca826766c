/* SPDX-License-Identifier: Apache-2.0 */
/* SOCK_DIAG_BY_FAMILY lists connections, SOCK_DESTROY ends one. */
#include "directord/tcpend.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

#define TCP_STATES ((1u << 1) | (1u << 2) | (1u << 3) | (1u << 4) | (1u << 5) | (1u << 8))   /* those with another end */

struct found {
	const struct addr *ip;
	struct { uint8_t family; struct inet_diag_sockid id; } *sock;
	unsigned n, cap;
};

/* A socket for both families has IPv4 addresses mapped. */
static bool is_local(const struct inet_diag_msg *m, const struct addr *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *src = (const uint8_t *)m->id.idiag_src;

	if (ip->family == 6)
		return m->idiag_family == AF_INET6 && memcmp(src, ip->ip, 16) == 0;
	if (m->idiag_family == AF_INET)
		return memcmp(src, ip->ip, 4) == 0;
	return memcmp(src, mapped, sizeof(mapped)) == 0 && memcmp(src + 12, ip->ip, 4) == 0;
}

static int one(const struct nlmsghdr *nlh, void *arg)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct found *f = arg;

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || !is_local(m, f->ip))
		return MNL_CB_OK;
	f->sock = mem_grow(f->sock, &f->cap, f->n, sizeof(*f->sock));
	f->sock[f->n].family = m->idiag_family;
	f->sock[f->n++].id = m->id;
	return MNL_CB_OK;
}

static int ask(struct mnl_socket *nl, uint16_t type, uint16_t flags, uint8_t family, const struct inet_diag_sockid *id,
               struct found *f)
{
	char out[512], in[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(out);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	ssize_t n;
	int run;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	req->sdiag_family = family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = TCP_STATES;
	if (id)
		req->id = *id;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl, in, sizeof(in));
		if (n < 0)
			return -errno;
		run = mnl_cb_run(in, (size_t)n, 0, 0, one, f);
	} while (run > MNL_CB_STOP);
	return run < 0 ? -errno : 0;
}

int tcp_end(const struct addr *ip)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	struct found f = { .ip = ip };
	int err, ended = 0;

	if (!nl)
		return -errno;
	err = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (!err && ip->family == 4)
		err = ask(nl, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, AF_INET, NULL, &f);
	if (!err)
		err = ask(nl, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, AF_INET6, NULL, &f);
	for (unsigned i = 0; i < f.n; i++) {
		int one_err = ask(nl, SOCK_DESTROY, NLM_F_ACK, f.sock[i].family, &f.sock[i].id, &f);

		/* It may have ended by itself. */
		if (one_err && one_err != -ENOENT && !err)
			err = one_err;
		ended += !one_err;
	}
	free(f.sock);
	mnl_socket_close(nl);
	return err ? err : ended;
}
