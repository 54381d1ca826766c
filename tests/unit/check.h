/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests' few words: a test is a function, CHECK says what should hold, the exit status says whether it did. */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond) do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
			exit(1); \
		} \
	} while (0)

#define CHECK_EQ(a, b) do { \
		long long a_ = (long long)(a), b_ = (long long)(b); \
		if (a_ != b_) { \
			fprintf(stderr, "%s:%d: %s is %lld, wanted %s = %lld\n", __FILE__, __LINE__, #a, a_, #b, b_); \
			exit(1); \
		} \
	} while (0)

#define CHECK_STR(a, b) do { \
		const char *a_ = (a), *b_ = (b); \
		if (!a_ || strcmp(a_, b_) != 0) { \
			fprintf(stderr, "%s:%d: %s is \"%s\", wanted \"%s\"\n", __FILE__, __LINE__, #a, a_ ? a_ : "(null)", b_); \
			exit(1); \
		} \
	} while (0)

/* RUN(test_x): runs it and prints its name, so that a failure names its test. */
#define RUN(test) do { \
		test(); \
		printf("ok %s\n", #test); \
	} while (0)

#endif
