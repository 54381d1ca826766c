/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that the start needed and the rest does not. */
#ifndef DIRECTORD_TRIM_H
#define DIRECTORD_TRIM_H

/*
 * Unmap what is mapped of the program's and its libraries' read-only pages: code, constants, tables of the linker. They stay in the
 * page cache as long as the machine has room, and what is used comes back with the next access.
 */
void trim_code(void);

#endif
