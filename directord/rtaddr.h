/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of this machine's interfaces, asked of and changed in the kernel (rtnetlink, by libmnl). */
#ifndef DIRECTORD_RTADDR_H
#define DIRECTORD_RTADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/float.h"

struct mnl_socket;
struct nlmsghdr;

/* NULL: errno says why. */
struct mnl_socket *rtaddr_open(void);
void rtaddr_close(struct mnl_socket **nl);

/*
 * All interfaces but loopback, then all their addresses, into *list (given). `floating` says that the address will be
 * forgotten by the kernel within FLOAT_LIFE_S and is never used as a source: nobody else's is like that. -errno, or 0.
 */
int rtaddr_list(struct mnl_socket *nl, struct float_host **list, unsigned *n);
/* Put it there, or begin its life anew. -errno, or 0. */
int rtaddr_set(struct mnl_socket *nl, unsigned ifindex, const struct addr *ip, unsigned prefix, bool route);
int rtaddr_remove(struct mnl_socket *nl, unsigned ifindex, const struct addr *ip, unsigned prefix);
/* Is this message about an address that floats? For those who listen to the kernel and want only the others. */
bool rtaddr_is_floating(const struct nlmsghdr *nlh);

#endif
