/* SPDX-License-Identifier: Apache-2.0 */
/* What is proven inside the cluster: two programs must derive the same, and nobody may read another epoch into a name. */
#include "base/text.h"
#include "proto/inner.h"
#include "tests/unit/check.h"

static const uint8_t uuid[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void names_there_and_back(void)
{
	char name[INNER_NAME_LEN];
	uint8_t back[16];

	CHECK_STR(inner_name(uuid, name), "iqn.2026-11.director.inner:000102030405060708090a0b0c0d0e0f");
	CHECK(inner_name_parse(name, back) && memcmp(back, uuid, 16) == 0);
	CHECK(inner_name_parse("IQN.2026-11.Director.Inner:000102030405060708090A0B0C0D0E0F", back));
	CHECK(!inner_name_parse("iqn.2026-11.director.inner:000102030405060708090a0b0c0d0e0", back));
	CHECK(!inner_name_parse("iqn.2026-11.director.inner:000102030405060708090a0b0c0d0e0f0", back));
	CHECK(!inner_name_parse("iqn.2026-11.director.other:000102030405060708090a0b0c0d0e0f", back));
	CHECK(!inner_name_parse("", back));
}

static void an_epoch_has_one_name(void)
{
	char user[INNER_USER_LEN];
	uint64_t epoch;

	CHECK_STR(inner_user(UINT64_MAX, user), "18446744073709551615");
	CHECK(inner_user_parse(user, &epoch) && epoch == UINT64_MAX);
	CHECK(inner_user_parse("0", &epoch) && epoch == 0);
	CHECK(!inner_user_parse("", &epoch));
	CHECK(!inner_user_parse("007", &epoch));
	CHECK(!inner_user_parse("+7", &epoch));
	CHECK(!inner_user_parse("7 ", &epoch));
	CHECK(!inner_user_parse("18446744073709551616", &epoch));
}

/* By Python: hashlib.blake2b(b"director inner" + uuid + epoch.to_bytes(8, "little"), key=key, digest_size=32). */
static void the_secret_is_what_it_was(void)
{
	uint8_t key[TARGET_KEY_LEN];
	char secret[INNER_SECRET_LEN];

	memset(key, 7, sizeof(key));
	CHECK_STR(inner_secret(key, uuid, 0x0102030405060708u, secret), "02ef3307741723d0d9f0693d6411c1900b37bfc445da68afa0e2635d6f0ba761");
	memset(key, 8, sizeof(key));
	CHECK(strcmp(inner_secret(key, uuid, 0x0102030405060708u, secret), "02ef3307741723d0d9f0693d6411c1900b37bfc445da68afa0e2635d6f0ba761") != 0);
}

int main(void)
{
	RUN(names_there_and_back);
	RUN(an_epoch_has_one_name);
	RUN(the_secret_is_what_it_was);
	return 0;
}
