/* SPDX-License-Identifier: Apache-2.0 */
/* TXT records and addresses, as both ways of speaking mDNS have them. */
#include "directord/avahi_way.h"

#include <net/if.h>
#include <string.h>

#include <avahi-common/address.h>
#include <avahi-common/malloc.h>
#include <avahi-common/strlst.h>

#include "base/text.h"

AvahiStringList *avahi_txt_make(const struct discover_card *card)
{
	char id[33];
	AvahiStringList *l = avahi_string_list_add_printf(NULL, "n=%s", node_id_text(&card->id, id));

	if (*card->cluster)
		l = avahi_string_list_add_printf(l, "c=%s", card->cluster);
	return avahi_string_list_add_printf(l, "v=%u", card->version);
}

/* The value of `key` into `out`; false when it is not there or too long. */
static bool txt_value(AvahiStringList *txt, const char *key, char *out, size_t max)
{
	AvahiStringList *l = avahi_string_list_find(txt, key);
	char *k = NULL, *v = NULL;
	size_t len = 0;
	bool ok;

	if (!l || avahi_string_list_get_pair(l, &k, &v, &len) < 0)
		return false;
	ok = v && len < max && !memchr(v, 0, len);
	if (ok) {
		memcpy(out, v, len);
		out[len] = 0;
	}
	avahi_free(k);
	avahi_free(v);
	return ok;
}

bool avahi_txt_card(AvahiStringList *txt, struct discover_card *card)
{
	char id[33], version[8], hash[17];
	uint8_t raw[8];
	uint64_t v;

	*card = (struct discover_card){ 0 };
	if (!txt_value(txt, "n", id, sizeof(id)) || node_id_parse(id, &card->id) < 0)
		return false;
	if (txt_value(txt, "v", version, sizeof(version)) && text_u64_parse(version, &v) == 0)
		card->version = (unsigned)v;
	if (txt_value(txt, "c", hash, sizeof(hash)) && text_hex_parse(hash, raw, 8) == 0)
		memcpy(card->cluster, hash, sizeof(hash));
	return true;
}

struct addr avahi_addr(const AvahiAddress *a, int interface, unsigned port)
{
	struct addr out = { .port = (uint16_t)port };

	if (a->proto == AVAHI_PROTO_INET) {
		out.family = 4;
		memcpy(out.ip, &a->data.ipv4.address, 4);
	} else if (a->proto == AVAHI_PROTO_INET6) {
		out.family = 6;
		memcpy(out.ip, a->data.ipv6.address, 16);
		if (addr_is_linklocal(&out))
			out.scope = (uint32_t)interface;
	}
	return out;
}

bool avahi_interface_ok(const struct discover_conf *conf, int interface)
{
	char name[IF_NAMESIZE];

	if (conf->n_interfaces == 0)
		return true;
	if (interface < 0 || !if_indextoname((unsigned)interface, name))
		return false;
	for (unsigned i = 0; i < conf->n_interfaces; i++)
		if (strcmp(conf->interfaces[i], name) == 0)
			return true;
	return false;
}
