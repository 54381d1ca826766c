/* SPDX-License-Identifier: Apache-2.0 */
/* directord/identity: keys as files. */
#include "directord/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "directord/file.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/director-identity-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void an_identity_is_made_once_and_kept(void)
{
	struct identity a, b;
	uint8_t curve[32];
	struct stat st;
	char *why = NULL;

	CHECK_EQ(identity_open(&a, in_dir("id"), &why), 0);
	CHECK_EQ(identity_open(&b, in_dir("id"), &why), 0);
	CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	CHECK(!node_id_none(&a.id));
	CHECK_EQ(stat(in_dir("id"), &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	/* What others derive from the public key is what we derive from the secret one. */
	CHECK_EQ(identity_curve(a.public_key, curve), 0);
	CHECK(memcmp(curve, a.curve_public, 32) == 0);
	crypto_scalarmult_base(curve, a.curve_secret);
	CHECK(memcmp(curve, a.curve_public, 32) == 0);
	CHECK(access(in_dir("id.new"), F_OK) != 0);
}

static void a_damaged_or_open_identity_is_refused(void)
{
	struct identity a;
	char *why = NULL;

	CHECK_EQ(file_write(in_dir("bad"), "director-identity-1 12", 22, 0600), 0);
	CHECK_EQ(identity_open(&a, in_dir("bad"), &why), ERR_MALFORMED);
	CHECK(strstr(why, "bad"));
	mem_autofree(&why);
	CHECK_EQ(chmod(in_dir("id"), 0640), 0);
	CHECK_EQ(identity_open(&a, in_dir("id"), &why), ERR_DENIED);
	CHECK(strstr(why, "others can read"));
	mem_autofree(&why);
}

static void cluster_keys_are_kept_by_epoch(void)
{
	struct keys a = { 0 }, b;
	struct key one = { .epoch = 1, .secret = { 1, 2, 3 } }, seven = { .epoch = 7, .secret = { 7 } };
	char *why = NULL;

	CHECK_EQ(keyfile_load(&b, in_dir("key"), &why), ERR_NOENT);
	CHECK_EQ(b.n, 0);
	mem_autofree(&why);
	keys_add(&a, &seven);
	keys_add(&a, &one);
	CHECK_EQ(keyfile_store(&a, in_dir("key"), &why), 0);
	CHECK_EQ(keyfile_load(&b, in_dir("key"), &why), 0);
	CHECK_EQ(b.n, 2);
	CHECK(memcmp(keys_find(&b, 1)->secret, one.secret, 32) == 0);
	CHECK(memcmp(keys_newest(&b)->secret, seven.secret, 32) == 0);
}

static void a_bare_key_is_epoch_one_and_junk_is_refused(void)
{
	static const char good[] = "# from the image\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	static const char *const bad[] = { "00", "1 00", "0 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "x\n",
	                                   ("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
	                                    "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f") };
	struct keys k;
	char *why = NULL;

	CHECK_EQ(keyfile_parse(&k, good, strlen(good), &why), 0);
	CHECK_EQ(k.n, 1);
	CHECK_EQ(k.k[0].epoch, 1);
	CHECK_EQ(k.k[0].secret[31], 31);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_EQ(keyfile_parse(&k, bad[i], strlen(bad[i]), &why), ERR_MALFORMED);
		CHECK_EQ(k.n, 0);
		mem_autofree(&why);
	}
	CHECK_EQ(file_write(in_dir("key"), "\n", 1, 0600), 0);
	CHECK_EQ(keyfile_load(&k, in_dir("key"), &why), ERR_MALFORMED);
	mem_autofree(&why);
}

static void only_one_process_holds_the_lock(void)
{
	int fd, fd2, pid;

	CHECK_EQ(file_lock(in_dir("pid"), &fd, &pid), 0);
	CHECK_EQ(file_lock(in_dir("pid"), &fd2, &pid), ERR_BUSY);
	CHECK_EQ(pid, getpid());
	close(fd);
	CHECK_EQ(file_lock(in_dir("pid"), &fd, &pid), 0);
	close(fd);
}

int main(void)
{
	char clean[128];

	CHECK(mkdtemp(dir));
	RUN(an_identity_is_made_once_and_kept);
	RUN(a_damaged_or_open_identity_is_refused);
	RUN(cluster_keys_are_kept_by_epoch);
	RUN(a_bare_key_is_epoch_one_and_junk_is_refused);
	RUN(only_one_process_holds_the_lock);
	snprintf(clean, sizeof(clean), "rm -r %s", dir);
	return system(clean);
}
