/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted bugs of director-target, as cluster/plant.h has them for the machines: a build with --enable-plant leaves out the
 * protection that the environment names, to show that tests/faults would find it. Everywhere else the constant 0.
 *   lease   answers are given whether there is a lease or not
 *   epoch   a leg lets older epochs go on beside a newer one
 *   once    a write whose outcome is not known is done again
 */
#ifndef SERVE_PLANT_H
#define SERVE_PLANT_H

#ifdef ENABLE_PLANT
#include <stdlib.h>
#include <string.h>
static inline int planted(const char *protection)
{
	const char *out = getenv("DIRECTOR_PLANT");

	return out && strcmp(out, protection) == 0;
}
#else
#define planted(protection) 0
#endif

#endif
