/* Small readers of /proc and /sys that more than one part needs. */
#ifndef EDGEWARD_SYSTEM_H
#define EDGEWARD_SYSTEM_H

#include <stdint.h>

/* What stands behind `label` and `between` in the first line of a file that begins with it; "" without one. A new
 * string. */
char *system_labelled(const char *path, const char *label, char between);

/* A field of /proc/meminfo in bytes, or -1. */
int64_t system_meminfo(const char *field);

/* The lowest (`highest` = 0) or highest number in the files that match, those within the bounds; 0 if there is none. */
int system_extreme(const char *pattern, double low, double high, int highest, double *found);

/* The hottest thermal zone, in degrees Celsius; 0 where there is none. */
int system_temperature(double *celsius);

#endif
