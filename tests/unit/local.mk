# SPDX-License-Identifier: Apache-2.0
# Each program links the library of one room and what that room may include.
check_PROGRAMS += tests/unit/base
TESTS += tests/unit/base
tests_unit_base_SOURCES = %D%/base.c %D%/check.h
tests_unit_base_LDADD = base/libbase.la
