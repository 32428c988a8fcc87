/* Durations in ns, and the statistics that the device needs of them. */
#ifndef EDGEWARD_SAMPLES_H
#define EDGEWARD_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    int64_t *ns;
    size_t count, room;
};

/* Makes room for one more; called between timings, never inside one. */
void samples_reserve(struct samples *samples);
int64_t samples_sum(const struct samples *samples);
double samples_median(const struct samples *samples);

/* The low quantile that stands for a round, as harness.stats.rounds has it: Hyndman and Fan's definition 8
 * (median-unbiased), linear between the neighbours. */
double samples_level(const struct samples *samples);

#endif
