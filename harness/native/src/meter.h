/* Meters of the kernel: an energy counter (powercap) or a battery (power_supply). */
#ifndef EDGEWARD_METER_H
#define EDGEWARD_METER_H

#include "job.h"
#include "text.h"

struct meter {
    char *folder;
    int counts_joules; /* else it reads watts */
    int64_t range, last, turns;
    double resolution;
};

/* Opens the meter of the job; 0 with `fault` when it cannot be read or is of a kind that only the agent reads. */
int meter_open(struct meter *meter, const struct meter_spec *spec, struct fault *fault);

/* The joules used since some fixed moment, or the watts drawn now; 0 with `fault` when it cannot be read any more. */
int meter_read(struct meter *meter, double *value, struct fault *fault);

/* Whether a battery is being charged, which hides what the device draws. */
int meter_charging(const struct meter *meter);

#endif
