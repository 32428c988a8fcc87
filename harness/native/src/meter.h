/* Meters that are read on the device: the kinds of harness/agent/meters/, with the same keys, numbers and words. */
#ifndef EDGEWARD_METER_H
#define EDGEWARD_METER_H

#include <stdint.h>

#include "job.h"
#include "text.h"

struct meter;

/* One kind of meter. `open` and `read` return 0 with `fault` where the meter cannot be read; both may leave NULL what
 * a kind has no use for. */
struct meter_kind {
    const char *name;
    int counts_joules; /* else it reads watts */
    int (*open)(struct meter *meter, const struct meter_spec *spec, struct fault *fault);
    int (*read)(struct meter *meter, double *value, struct fault *fault);
    int (*charging)(const struct meter *meter);
    void (*close)(struct meter *meter);
};

struct meter {
    const struct meter_kind *kind;
    double resolution;
    void *state; /* the kind's own */
};

extern const struct meter_kind METER_COMMAND, METER_HWMON, METER_POWER_SUPPLY, METER_POWERCAP;

/* Opens the meter of a `[meter]` table and reads it once; 0 with a `fault` of kind "meter" when it cannot be read or is
 * of a kind that only the agent reads. Close it in either case. */
int meter_open(struct meter *meter, const struct meter_spec *spec, struct fault *fault);

/* The joules used since some fixed moment, or the watts drawn now; 0 with `fault` when it cannot be read any more. */
int meter_read(struct meter *meter, double *value, struct fault *fault);

/* Whether a battery is being charged, which hides what the device draws. */
int meter_charging(const struct meter *meter);

void meter_close(struct meter *meter);

/* For the kinds: the whole number in a file, 0 with `fault` where there is none. */
int meter_number(const char *path, int64_t *value, struct fault *fault);

/* For the kinds: adds `said` as Python shows a string, in quotes. */
void meter_quote(struct text *target, const char *said);

#endif
