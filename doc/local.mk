# SPDX-License-Identifier: Apache-2.0
# directord: its pages and the commented default file; the list of keys in both is made from the table in directord/conf.c.
dist_man_MANS += %D%/man/directord.8 %D%/man/director.conf.5
EXTRA_DIST += %D%/director.conf
