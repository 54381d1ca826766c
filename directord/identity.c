/* SPDX-License-Identifier: Apache-2.0 */
/* The node's key pair and the cluster key, as files. */
#include "directord/identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "directord/file.h"

#define IDENTITY_HEAD "director-identity-1 "
#define KEYFILE_MAX 4096

static int fail(char **why, int err, const char *path, const char *text)
{
	if (why)
		*why = mem_printf("%s: %s", path, text ? text : err_text(err));
	return err;
}

/* A secret is its owner's alone. */
static int check_mode(const char *path, char **why)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fail(why, err_from_errno(errno), path, NULL);
	if (st.st_mode & 077)
		return fail(why, ERR_DENIED, path, "others can read this secret; chmod 600 it, or make a new one if they might have");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return fail(why, ERR_DENIED, path, "this secret belongs to another user");
	return 0;
}

/* All of an identity from its 32-byte seed. */
static int identity_derive(struct identity *i, const uint8_t seed[32])
{
	crypto_sign_seed_keypair(i->public_key, i->secret_key, seed);
	i->id = node_id_of_key(i->public_key);
	if (crypto_sign_ed25519_pk_to_curve25519(i->curve_public, i->public_key) != 0 ||
	    crypto_sign_ed25519_sk_to_curve25519(i->curve_secret, i->secret_key) != 0)
		return ERR_CRYPTO;
	return 0;
}

static int identity_make(struct identity *i, const char *path, char **why)
{
	uint8_t seed[32];
	char hex[65], text[128];
	int n, err;

	randombytes_buf(seed, sizeof(seed));
	n = snprintf(text, sizeof(text), IDENTITY_HEAD "%s\n", text_hex(seed, 32, hex));
	err = identity_derive(i, seed);
	if (!err)
		err = file_write(path, text, (size_t)n, 0600);
	sodium_memzero(seed, sizeof(seed));
	sodium_memzero(hex, sizeof(hex));
	sodium_memzero(text, sizeof(text));
	return err ? fail(why, err, path, NULL) : 0;
}

int identity_open(struct identity *i, const char *path, char **why)
{
	static const char damaged[] = "this is not an identity; restore it, or remove it to become a new node";
	const size_t head = strlen(IDENTITY_HEAD);
	struct buf text = { 0 };
	uint8_t seed[32];
	int err;

	*i = (struct identity){ 0 };
	if (sodium_init() < 0)
		return fail(why, ERR_CRYPTO, path, "the random generator does not work");
	err = file_read(path, KEYFILE_MAX, &text);
	if (err == ERR_NOENT)
		return identity_make(i, path, why);
	if (err) {
		buf_fini(&text);
		return fail(why, err, path, NULL);
	}
	err = check_mode(path, why);
	if (!err) {
		if (text.len && text.data[text.len - 1] == '\n')
			text.data[--text.len] = 0;
		if (text.len != head + 64 || memcmp(text.data, IDENTITY_HEAD, head) != 0 ||
		    text_hex_parse((char *)text.data + head, seed, 32) < 0)
			err = fail(why, ERR_MALFORMED, path, damaged);
	}
	if (!err && identity_derive(i, seed) < 0)
		err = fail(why, ERR_MALFORMED, path, damaged);
	sodium_memzero(seed, sizeof(seed));
	if (text.data)
		sodium_memzero(text.data, text.cap);
	buf_fini(&text);
	return err;
}

void identity_fini(struct identity *i)
{
	sodium_memzero(i, sizeof(*i));
}

int identity_curve(const uint8_t public_key[32], uint8_t curve_public[32])
{
	return crypto_sign_ed25519_pk_to_curve25519(curve_public, public_key) == 0 ? 0 : ERR_CRYPTO;
}

/* One line of a key file: nothing, a bare key (epoch 1), or "EPOCH HEX". */
static int keyfile_line(struct keys *ks, const char *line)
{
	struct key k = { .epoch = 1 };
	char number[16];
	const char *hex = line;
	size_t n = strcspn(line, " \t");
	uint64_t epoch;
	int err = 0;

	if (line[n]) {
		if (n >= sizeof(number))
			return ERR_MALFORMED;
		memcpy(number, line, n);
		number[n] = 0;
		if (text_u64_parse(number, &epoch) < 0 || epoch == 0 || epoch > UINT32_MAX)
			return ERR_MALFORMED;
		k.epoch = (uint32_t)epoch;
		hex = line + n + strspn(line + n, " \t");
	}
	if (keys_find(ks, k.epoch) || text_hex_parse(hex, k.secret, 32) < 0)
		err = ERR_MALFORMED;
	else
		keys_add(ks, &k);
	sodium_memzero(&k, sizeof(k));
	return err;
}

int keyfile_parse(struct keys *ks, const char *text, size_t len, char **why)
{
	unsigned number = 0;

	*ks = (struct keys){ 0 };
	for (size_t at = 0; at < len; ) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at, next = at + n + 1;
		char line[128];
		int err = 0;

		number++;
		while (n && strchr(" \t\r", text[at + n - 1]))
			n--;
		if (n && text[at] != '#') {
			if (n >= sizeof(line) || memchr(text + at, 0, n)) {
				err = ERR_MALFORMED;
			} else {
				memcpy(line, text + at, n);
				line[n] = 0;
				err = keyfile_line(ks, line);
				sodium_memzero(line, sizeof(line));
			}
		}
		if (err) {
			sodium_memzero(ks, sizeof(*ks));
			if (why)
				*why = mem_printf("line %u is not a cluster key (\"EPOCH HEX\", 64 hex digits)", number);
			return err;
		}
		at = next;
	}
	return 0;
}

int keyfile_load(struct keys *ks, const char *path, char **why)
{
	auto_free char *wrong = NULL;
	struct buf text = { 0 };
	int err;

	*ks = (struct keys){ 0 };
	err = file_read(path, KEYFILE_MAX, &text);
	if (err)
		fail(why, err, path, NULL);
	else
		err = check_mode(path, why);
	if (!err) {
		err = keyfile_parse(ks, (char *)text.data, text.len, &wrong);
		if (err)
			fail(why, err, path, wrong);
		else if (ks->n == 0)
			err = fail(why, ERR_MALFORMED, path, "there is no key in this file");
	}
	if (text.data)
		sodium_memzero(text.data, text.cap);
	buf_fini(&text);
	return err;
}

int keyfile_store(const struct keys *ks, const char *path, char **why)
{
	char text[KEYS_MAX * 80 + 160], hex[65];
	size_t n;
	int err;

	n = (size_t)snprintf(text, sizeof(text), "# The cluster key of director, by epoch. Who has it is a member: keep it secret.\n");
	for (unsigned i = 0; i < ks->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u %s\n", ks->k[i].epoch, text_hex(ks->k[i].secret, 32, hex));
	err = file_write(path, text, n, 0600);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(hex, sizeof(hex));
	return err ? fail(why, err, path, NULL) : 0;
}

void identity_random(void *p, size_t n)
{
	randombytes_buf(p, n);
}

uint64_t identity_life(void)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	uint8_t hash[crypto_generichash_BYTES_MIN];
	uint64_t life = 0;
	char id[64] = "";

	if (!f)
		return 0;
	if (fgets(id, sizeof(id), f) && *id)
		crypto_generichash(hash, sizeof(hash), (const uint8_t *)id, strlen(id), NULL, 0);
	fclose(f);
	if (*id)
		memcpy(&life, hash, sizeof(life));
	return life;
}
