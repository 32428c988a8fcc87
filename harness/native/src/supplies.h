/* The supplies that the kernel lists under /sys/class/power_supply: the machine's own batteries, and what feeds it; the
 * rules are those of harness/agent/supplies.py. */
#ifndef EDGEWARD_SUPPLIES_H
#define EDGEWARD_SUPPLIES_H

#include <stddef.h>

#include "text.h"

#define SUPPLIES "/sys/class/power_supply"

/* Folders of supplies, each a new string, in the order of their names. */
struct supplies {
    char **folder;
    size_t count;
};

/* The machine's own batteries. */
struct supplies supplies_batteries(const char *root);
/* What feeds the machine from outside now. */
struct supplies supplies_feeding(const char *root);
void supplies_free(struct supplies *supplies);

/* The text of a file of a supply without white space at its ends, a new string. */
char *supply_word(const char *folder, const char *name);
/* Whether that is `word`. */
int supply_says(const char *folder, const char *name, const char *word);
/* The number that it is, within the bounds; 0 for anything else. */
int supply_number(const char *folder, const char *name, double low, double high, double *value);

/* Adds battery_ratio and charging of all batteries together; 0 where there is none. */
int supplies_charge(struct text *fields);

/* The last part of a supply's path. */
const char *supply_name(const char *folder);

/* The batteries that a meter's `path` or the name of one means, all where neither does; 0 with `fault` for none. */
int supplies_meant(struct supplies *supplies, const char *path, const char *name, struct fault *fault);

#endif
