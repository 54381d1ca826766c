# SPDX-License-Identifier: Apache-2.0
# Style by program: what the pure rooms link and include, SPDX lines, promises left in the code.
TIDY_TESTS = %D%/pure.sh %D%/source.sh %D%/clock.sh %D%/headers.sh %D%/pages.sh
dist_check_SCRIPTS += $(TIDY_TESTS)
TESTS += $(TIDY_TESTS)
AM_TESTS_ENVIRONMENT = top_srcdir='$(abs_top_srcdir)'; top_builddir='$(abs_top_builddir)'; CC='$(CC)'; \
	abs_top_builddir='$(abs_top_builddir)'; export top_srcdir top_builddir abs_top_builddir CC;
