# SPDX-License-Identifier: Apache-2.0
# Virtual machines; run by tests/vm/run (as root, after tests/vm/install-deps), not by "make check".
check_PROGRAMS += tests/vm/fsx
tests_vm_fsx_SOURCES = %D%/fsx.c
EXTRA_DIST += %D%/run %D%/vm %D%/functions.sh %D%/install-deps %D%/.shellcheckrc \
	%D%/guest/agent %D%/guest/agent.service %D%/guest/init %D%/guest/sg3 \
	%D%/alua.sh %D%/failover.sh %D%/linux-initiator.sh %D%/lio.sh %D%/multipath.sh %D%/pscsi-served.sh %D%/pscsi.sh %D%/sg3.sh %D%/systemd.sh
