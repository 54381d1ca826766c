/* SPDX-License-Identifier: Apache-2.0 */
/* Of forty libraries the start touches most pages, and what follows few. */
#include "directord/trim.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Was its code changed when it was loaded, so that the file has not all of it? */
static bool relocated(const struct dl_phdr_info *object)
{
	const ElfW(Dyn) *d = NULL;

	for (unsigned i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
			d = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
	for (; d && d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL)))
			return true;
	return !d;
}

static int trim_object(struct dl_phdr_info *object, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	if (strncmp(object->dlpi_name, "linux-", 6) == 0 || relocated(object))  /* the first is the kernel's own, in no file */
		return 0;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t from = object->dlpi_addr + p->p_vaddr, to = from + p->p_filesz;

		/* Pages that are of one segment alone. */
		from = (from + page - 1) & ~(page - 1);
		to &= ~(page - 1);
		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W) && from < to)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void trim_code(void)
{
	dl_iterate_phdr(trim_object, NULL);
}
