/* What each kind of meter gives, and what they share. */
#ifndef EDGEWARD_METER_KIND_H
#define EDGEWARD_METER_KIND_H

#include <stdint.h>

#include "job.h"
#include "text.h"

struct meter;

/* One kind of meter. `open` and `read` return 0 with `fault` where the meter cannot be read; `charging` and `close` may
 * be NULL. */
struct meter_kind {
    const char *name;
    int counts_joules; /* else it reads watts */
    int (*open)(struct meter *meter, const struct meter_spec *spec, struct fault *fault);
    int (*read)(struct meter *meter, double *value, struct fault *fault);
    /* 1 while a battery is charged; -1 with `fault` where it does not alone feed the machine */
    int (*charging)(const struct meter *meter, struct fault *fault);
    void (*close)(struct meter *meter);
};

struct meter {
    const struct meter_kind *kind;
    double resolution;
    void *state; /* the kind's own */
};

/* The kinds, each in its own file. */
extern const struct meter_kind METER_COMMAND, METER_HWMON, METER_POWER_SUPPLY, METER_POWERCAP;

/* What a sensor's file holds; 0 with `fault` for no number, one beyond `bound`, and the largest integers. */
int meter_reading(const char *folder, const char *name, double bound, double *value, struct fault *fault);
/* The whole number in a file; 0 with `fault` where there is none. */
int meter_number(const char *path, int64_t *value, struct fault *fault);

#endif
