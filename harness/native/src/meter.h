/* Meters that are read on the device: the kinds of harness/agent/meters/, with the same keys and numbers. */
#ifndef EDGEWARD_METER_H
#define EDGEWARD_METER_H

#include "meter_kind.h"

/* What to do about a meter that cannot be read, where nothing better is known. */
#define METER_REMEDY "look at [meter] in the device's file"

/* Opens the meter of a `[meter]` table and reads it once; 0 with a `fault` of kind "meter" when it cannot be read or is
 * of a kind that only the agent reads. Close it in either case. */
int meter_open(struct meter *meter, const struct meter_spec *spec, struct fault *fault);

/* The joules used since some fixed moment, or the watts drawn now; 0 with `fault` when it cannot be read any more. */
int meter_read(struct meter *meter, double *value, struct fault *fault);

/* 1 while a battery is being charged, which hides what the device draws; -1 with `fault` where the battery does not
 * alone feed the device; else 0. */
int meter_charging(const struct meter *meter, struct fault *fault);

void meter_close(struct meter *meter);

/* Makes a fault the answer of a command: {"refused": ..., "remedy": ...} alone. */
void meter_refusal(struct text *answer, const struct fault *fault);

#endif
