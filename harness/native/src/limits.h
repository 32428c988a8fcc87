/* What limits the memory of this process besides the machine's own; whether the kernel has killed for want of it. */
#ifndef EDGEWARD_LIMITS_H
#define EDGEWARD_LIMITS_H

#include <stdint.h>

/* The memory that there is for this process, and what new processes may still take, in bytes: the machine's, or what a
 * control group (a container, a service) allows; -1 where nothing says. */
int64_t limits_total(void);
int64_t limits_available(void);

/* How many processes the kernel has killed for want of memory since it started; -1 if it does not say. */
int64_t limits_oom_kills(void);

#endif
