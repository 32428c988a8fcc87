/* Which files of a chip under /sys/class/hwmon a meter reads. */
#ifndef EDGEWARD_HWMON_TERMS_H
#define EDGEWARD_HWMON_TERMS_H

#include <stddef.h>

#include "text.h"

/* One channel: a power, or volts and amperes. */
struct term {
    char *folder; /* a string of its own; NULL until it is known */
    char name[2][32];
    size_t files;
};

struct sensor {
    struct term *term;
    size_t terms;
};

/* Whether a folder has a file of this name. */
int hwmon_is_file(const char *folder, const char *name);

/* The one channel of a folder with a label; its `files` are 0 where none or several have it. */
struct term hwmon_labelled(const char *folder, const char *label);

void hwmon_add_term(struct sensor *sensor, struct term term);

/* Reads the channels that are named, with + between them; 0 with `fault` for what is none. */
int hwmon_terms_of(const char *channels, struct sensor *sensor, struct fault *fault);

#endif
