/* What limits the memory of this process besides the machine's own; whether the kernel has killed for want of it. */
#ifndef EDGEWARD_LIMITS_H
#define EDGEWARD_LIMITS_H

#include <stdint.h>

/* The memory that there is for this process, and what new processes may still take, in bytes: the machine's, or what a
 * control group (a container, a service) allows; -1 where nothing says. */
int64_t limits_total(void);
int64_t limits_available(void);

/* The files that count the processes killed for want of memory, the narrowest first: the control group of this process
 * counts its own, the kernel all since it was started. `file` is NULL behind the last one. */
struct kills {
    char *file[3];
    int64_t count[3];
};

struct kills limits_kills(void);
void limits_free(struct kills *kills);

#endif
