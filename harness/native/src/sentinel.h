/* Sees the processor change its speed, without root: a fixed integer kernel is timed between rounds.
 *
 * The kernel runs three times for about 2 ms each and the fastest counts, so that one interruption does not pass for a
 * slow clock. More than DRIFT above the value seen while cool, and the rounds around it are marked. */
#ifndef EDGEWARD_SENTINEL_H
#define EDGEWARD_SENTINEL_H

#include <stdint.h>

struct sentinel {
    int64_t cool_ns, spent_ns;
};

/* The time of one kernel, in ns: the best of three. */
int64_t sentinel_kernel_ns(void);

/* Takes the cool value: the median of SENTINEL_READINGS, before anything else ran; it never follows a drift. */
void sentinel_start(struct sentinel *sentinel);

/* The relative slow-down now: 0.0 is cool, 0.25 a quarter slower. */
double sentinel_drift(struct sentinel *sentinel);

/* Pauses until the processor is cool again or `budget_s` is spent; returns the drift and the seconds paused. */
double sentinel_settle(struct sentinel *sentinel, double budget_s, double *paused_s);

#endif
