# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += tests/installed.sh tests/install-deps tests/timed
include $(srcdir)/tests/unit/local.mk
include $(srcdir)/tests/sim/local.mk
include $(srcdir)/tests/shell/local.mk
include $(srcdir)/tests/fuzz/local.mk
include $(srcdir)/tests/tidy/local.mk
include $(srcdir)/tests/system/local.mk
include $(srcdir)/tests/campaign/local.mk
include $(srcdir)/tests/vm/local.mk
