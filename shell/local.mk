# SPDX-License-Identifier: Apache-2.0
# director: the shell, a client of libdirector like any other.
bin_PROGRAMS += shell/director
noinst_LTLIBRARIES += shell/libshell.la
shell_libshell_la_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(EDIT_CFLAGS) $(LIBBSD_CFLAGS)
shell_libshell_la_SOURCES = \
	%D%/change.c %D%/cmd_address.c %D%/cmd_help.c %D%/cmd_node.c %D%/cmd_plugin.c %D%/cmd_status.c %D%/cmd_target.c \
	%D%/cmd_task.c %D%/cmd_tree.c %D%/cmd_txn.c %D%/cmd_volume.c %D%/cmds.h %D%/complete.c %D%/grammar.c \
	%D%/interactive.c %D%/line.c %D%/object.c %D%/run.c %D%/say.c %D%/sessions.c %D%/shell.h %D%/table.c \
	cluster/obj.c
shell_director_CPPFLAGS = $(shell_libshell_la_CPPFLAGS)
shell_director_SOURCES = %D%/main.c
shell_director_LDADD = shell/libshell.la lib/libdirector.la base/libbase.la \
	$(JANSSON_LIBS) $(EDIT_LIBS) $(LIBBSD_LIBS)

# Named as the program, which is how bash-completion finds it.
dist_bashcomp_DATA = %D%/completion/director
