/* SPDX-License-Identifier: Apache-2.0 */
/* Cards. */
#include "cluster/card.h"

#include <string.h>

#include "base/text.h"

bool card_eq(const struct card *a, const struct card *b)
{
	if (!node_id_eq(&a->id, &b->id) || memcmp(a->public_key, b->public_key, sizeof(a->public_key)) != 0 ||
	    memcmp(a->boot, b->boot, sizeof(a->boot)) != 0 || strcmp(a->name, b->name) != 0 ||
	    a->n_addrs != b->n_addrs || a->incarnation != b->incarnation || a->version_min != b->version_min ||
	    a->version_max != b->version_max || a->features != b->features || a->n_extra != b->n_extra ||
	    memcmp(a->extra, b->extra, a->n_extra) != 0 || a->n_later != b->n_later ||
	    memcmp(a->later, b->later, a->n_later) != 0)
		return false;
	for (unsigned i = 0; i < a->n_addrs; i++)
		if (!addr_eq(&a->addrs[i], &b->addrs[i]))
			return false;
	return true;
}

bool card_ok(const struct card *c)
{
	struct node_id id = node_id_of_key(c->public_key);

	if (!node_id_eq(&id, &c->id) || c->n_addrs > CARD_ADDRS_MAX || c->n_extra > CARD_EXTRA_MAX ||
	    c->name[0] == '\0' || !memchr(c->name, '\0', sizeof(c->name)) ||
	    !text_ok(c->name, CARD_NAME_MAX - 1) || c->version_min > c->version_max)
		return false;
	for (unsigned i = 0; i < c->n_addrs; i++)
		if ((c->addrs[i].family != 4 && c->addrs[i].family != 6) || c->addrs[i].port == 0)
			return false;
	return true;
}

uint32_t boot_tag(const uint8_t boot[BOOT_LEN])
{
	return (uint32_t)boot[0] << 24 | (uint32_t)boot[1] << 16 | (uint32_t)boot[2] << 8 | boot[3];
}

bool card_has_addr(const struct card *c, const struct addr *a)
{
	for (unsigned i = 0; i < c->n_addrs; i++)
		if (addr_eq(&c->addrs[i], a))
			return true;
	return false;
}
