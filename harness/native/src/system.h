/* Small readers of /proc and /sys that more than one part needs. */
#ifndef EDGEWARD_SYSTEM_H
#define EDGEWARD_SYSTEM_H

#include <stdint.h>

/* What stands behind `label` and `between` in the first line of a file that begins with it; "" without one. A new
 * string. */
char *system_labelled(const char *path, const char *label, char between);

/* A field of /proc/meminfo in bytes, or -1. */
int64_t system_meminfo(const char *field);

/* The number that a small file holds, as harness/agent/sensors.py has it; 0 for anything else, what lies outside the
 * bounds, and the largest integers, which drivers write where they know nothing. */
int system_number(const char *path, double low, double high, double *value);
/* The same of a text. */
int system_number_of(const char *text, double low, double high, double *value);

/* The lowest (`highest` = 0) or highest number in the files that match, those within the bounds; 0 if there is none. */
int system_extreme(const char *pattern, double low, double high, int highest, double *found);

/* The hottest thermal zone of the type `zone`, or of all where it is "", in degrees Celsius; 0 where there is none. */
int system_temperature(const char *zone, double *celsius);

#endif
