# SPDX-License-Identifier: Apache-2.0

# One program for each use of libdirector, run by tests/shell/examples.sh.
EXAMPLES = doc/examples/list doc/examples/watch doc/examples/create doc/examples/task doc/examples/cancel
check_PROGRAMS += $(EXAMPLES)
doc_examples_list_SOURCES = %D%/examples/list.c
doc_examples_list_LDADD = lib/libdirector.la
doc_examples_watch_SOURCES = %D%/examples/watch.c
doc_examples_watch_LDADD = lib/libdirector.la
doc_examples_create_SOURCES = %D%/examples/create.c
doc_examples_create_LDADD = lib/libdirector.la
doc_examples_task_SOURCES = %D%/examples/task.c
doc_examples_task_LDADD = lib/libdirector.la
doc_examples_cancel_SOURCES = %D%/examples/cancel.c
doc_examples_cancel_LDADD = lib/libdirector.la
check_PROGRAMS += doc/examples/iscsi-read
doc_examples_iscsi_read_SOURCES = %D%/examples/iscsi-read.c
doc_examples_iscsi_read_LDADD = initiator/libdirector-iscsi.la
dist_man_MANS += %D%/man/director.1 %D%/man/libdirector.3
# directord: its pages and the commented default file; the list of keys in both is made from the table in directord/conf.c.
dist_man_MANS += %D%/man/directord.8 %D%/man/director.conf.5
EXTRA_DIST += %D%/director.conf
# The namespace; the list of objects is made from cluster/schema_table.c and compared with it by tests/unit/schema.
dist_man_MANS += %D%/man/director-namespace.7
EXTRA_DIST += %D%/agreement.md %D%/architecture.md %D%/data-plane.md %D%/dependencies.md %D%/gossip.md %D%/initiator.md %D%/ownership.md \
	%D%/gossip-scale.svg %D%/protocol-control.md %D%/protocols.md %D%/words.md
