/* The energy pass: an idle window, a window of inferences, an idle window, all read from one meter.
 *
 * The conductor samples the meter while the worker infers, because nothing is timed meanwhile. The host makes joules
 * per inference of it. */
#ifndef EDGEWARD_ENERGY_H
#define EDGEWARD_ENERGY_H

#include "conductor.h"

/* Adds the three windows, or `absent` with the reason; 0 with `fault` when the worker failed. */
int energy_measure(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault);

#endif
