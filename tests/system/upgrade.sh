#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a newer version wrote is refused in words, and left as it was.
. "$(dirname "$0")/functions.sh"
requires corosync sqlite3
has_director
lab up 3 || fail "lab up"
must_make n1 first
step "n3's store is of a newer format"
lab stop n3
lab sh n3 sqlite3 /var/lib/director/state.db 'PRAGMA user_version = 999' || fail "sqlite3"
lab start n3 2>/dev/null
expect n3 5 'format 999'
! lab list | grep -q 'n3 .*directord' || fail "it runs all the same"
must_make n1 second
step "with its own version it goes on"
lab sh n3 sqlite3 /var/lib/director/state.db 'PRAGMA user_version = 1'
lab start n3
lab wait 20 || fail "all are well again"
until_true 5 "n3 has it" has n3 "/targets/$(target second)"
pass
