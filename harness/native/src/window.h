/* What a meter shows over a while: every reading with its moment. */
#ifndef EDGEWARD_WINDOW_H
#define EDGEWARD_WINDOW_H

#include "meter.h"

struct window {
    int64_t begin_ns, end_ns, *at_ns;
    double *reading, joules, seconds;
    size_t count;
    int updates;
};

/* Adds a reading taken now; 0 with `fault` where the meter gives none, or a battery began to charge. */
int window_take(struct window *window, struct meter *meter, struct fault *fault);

/* Adds the fields at_ns and readings, with ", " between them. */
void window_describe(const struct window *window, struct text *fields);

void window_free(struct window *window);

#endif
