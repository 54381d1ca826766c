#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The bash completion script: what TAB would offer, as bash itself calls it.
. "${top_srcdir:-.}/tests/shell/functions.sh"
start --volumes 12 --targets 2
mkdir "$dir/bin" && ln -s "$(cd "$top_builddir" && pwd)/shell/director" "$dir/bin/director"
PATH="$dir/bin:$PATH"
compopt() { :; }
. "$top_srcdir/shell/completion/director"

# tab LINE: with the words as readline breaks them.
tab() {
	COMP_LINE=$1 COMP_POINT=${#1}
	COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
	mapfile -t COMP_WORDS < <(sed -E 's/([=:])/\n\1\n/g; s/ +/\n/g' <<< "$1")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_director
	echo "'$1' -> ${COMPREPLY[*]/%/|}"
}

commands() {
	tab "director vol"
	tab "director volume show vol000"
	tab "director volume create x --on "
	tab "director volume create x --on=n"
	tab "director volume create x read-only="
	tab "director target show iqn.2026-01.org.example:t"
	tab "director ls /tar"
	tab "director --socket $DIRECTOR_SOCKET sta"
	tab "director xyz "
}
same completion
