/* SPDX-License-Identifier: Apache-2.0 */
/* ARP and neighbour discovery frames, written and read. */
#include "directord/claim.h"

#include <string.h>

#define ETH 14
#define ARP_LEN (ETH + 28)
#define TYPE_ARP 0x0806
#define TYPE_IPV6 0x86dd
#define ICMP6 58
#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND (ETH + 40)                   /* where the ICMPv6 message begins */
#define OVERRIDE 0x20                  /* first byte of the flags, RFC 4861 4.4 */
#define OPT_SOURCE 1                    /* link-layer addresses, RFC 4861 4.6.1 */
#define OPT_TARGET 2

static const uint8_t all_ones[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };

static void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void eth(uint8_t *f, const uint8_t to[6], const uint8_t from[6], uint16_t type)
{
	memcpy(f, to, 6);
	memcpy(f + 6, from, 6);
	put_be16(f + 12, type);
}

static size_t arp(uint8_t *f, uint16_t op, const uint8_t mac[6], const uint8_t *sender, const uint8_t *target)
{
	memset(f, 0, ARP_LEN);
	eth(f, all_ones, mac, TYPE_ARP);
	put_be16(f + ETH, 1);                   /* Ethernet */
	put_be16(f + ETH + 2, 0x0800);
	f[ETH + 4] = 6;
	f[ETH + 5] = 4;
	put_be16(f + ETH + 6, op);
	memcpy(f + ETH + 8, mac, 6);
	if (sender)
		memcpy(f + ETH + 14, sender, 4);
	if (op == 2)
		memcpy(f + ETH + 18, mac, 6);
	memcpy(f + ETH + 24, target, 4);
	return ARP_LEN;
}

/* RFC 4443 2.3: over the pseudo header and the message. */
static uint16_t icmp6_sum(const uint8_t *f, size_t len)
{
	uint32_t sum = (uint32_t)len + ICMP6;

	for (size_t i = ETH + 8; i < ND; i += 2)
		sum += get_be16(f + i);
	for (size_t i = ND; i < ND + len; i += 2)
		sum += get_be16(f + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t nd(uint8_t *f, uint8_t type, const uint8_t mac[6], const uint8_t *from, const uint8_t *to, const uint8_t *about,
                 size_t len)
{
	uint8_t group[6] = { 0x33, 0x33, to[12], to[13], to[14], to[15] };      /* RFC 2464 7 */

	memset(f, 0, ND + len);
	eth(f, group, mac, TYPE_IPV6);
	f[ETH] = 0x60;
	put_be16(f + ETH + 4, (uint16_t)len);
	f[ETH + 6] = ICMP6;
	f[ETH + 7] = 255;
	if (from)
		memcpy(f + ETH + 8, from, 16);
	memcpy(f + ETH + 24, to, 16);
	f[ND] = type;
	memcpy(f + ND + 8, about, 16);
	if (type == ND_ADVERT) {
		f[ND + 4] = OVERRIDE;
		f[ND + 24] = OPT_TARGET;
		f[ND + 25] = 1;
		memcpy(f + ND + 26, mac, 6);
	}
	put_be16(f + ND + 2, icmp6_sum(f, len));
	return ND + len;
}

size_t claim_announce(const struct addr *ip, const uint8_t mac[6], unsigned i, uint8_t out[CLAIM_FRAME_MAX])
{
	if (ip->family == 4)
		return i > 1 ? 0 : arp(out, (uint16_t)(i + 1), mac, ip->ip, ip->ip);
	return i > 0 ? 0 : nd(out, ND_ADVERT, mac, ip->ip, all_nodes, ip->ip, 32);
}

size_t claim_probe(const struct addr *ip, const uint8_t mac[6], uint8_t out[CLAIM_FRAME_MAX])
{
	/* The solicited-node group, RFC 4291 2.7.1. */
	uint8_t group[16] = { 0xff, 0x02, [11] = 1, [12] = 0xff, ip->ip[13], ip->ip[14], ip->ip[15] };

	if (ip->family == 4)
		return arp(out, 1, mac, NULL, ip->ip);
	return nd(out, ND_SOLICIT, mac, NULL, group, ip->ip, 24);
}

static bool arp_parse(const uint8_t *f, size_t n, struct claim *c)
{
	static const uint8_t want[6] = { 0, 1, 8, 0, 6, 4 }, none[4];

	if (n < ARP_LEN || memcmp(f + ETH, want, sizeof(want)) != 0 || memcmp(f + ETH + 14, none, 4) == 0)
		return false;
	c->ip.family = 4;
	memcpy(c->ip.ip, f + ETH + 14, 4);
	memcpy(c->mac, f + ETH + 8, 6);
	return true;
}

/* The link-layer address that a message carries as option `type`; else it is that of the frame. */
static void nd_mac(const uint8_t *f, size_t n, uint8_t type, uint8_t mac[6])
{
	memcpy(mac, f + 6, 6);
	for (size_t i = ND + 24; i + 8 <= n && f[i + 1]; i += 8u * f[i + 1])
		if (f[i] == type && f[i + 1] == 1)
			memcpy(mac, f + i + 2, 6);
}

static bool nd_parse(const uint8_t *f, size_t n, struct claim *c)
{
	static const uint8_t none[16];
	const uint8_t *about;

	/* RFC 4861 7.1: from this link, and no router passed it on. */
	if (n < ND + 24 || f[ETH] >> 4 != 6 || f[ETH + 6] != ICMP6 || f[ETH + 7] != 255 || f[ND + 1] != 0)
		return false;
	if (f[ND] == ND_ADVERT)
		about = f + ND + 8;
	else if (f[ND] == ND_SOLICIT && memcmp(f + ETH + 8, none, 16) != 0)
		about = f + ETH + 8;
	else
		return false;
	c->ip.family = 6;
	memcpy(c->ip.ip, about, 16);
	nd_mac(f, n, f[ND] == ND_ADVERT ? OPT_TARGET : OPT_SOURCE, c->mac);
	return true;
}

bool claim_parse(const uint8_t *frame, size_t n, struct claim *c)
{
	*c = (struct claim){ .ip = { 0 } };
	if (n < ETH)
		return false;
	if (get_be16(frame + 12) == TYPE_ARP)
		return arp_parse(frame, n, c);
	return get_be16(frame + 12) == TYPE_IPV6 && nd_parse(frame, n, c);
}
