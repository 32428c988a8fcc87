/* The timed pass: models take turns in short rounds, in random order, over several launches of their processes.
 *
 * Drift, throttling and noisy neighbours hit every model alike and cancel in the ratio; launches carry the variance
 * that one process hides (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013). */
#ifndef EDGEWARD_TIMED_H
#define EDGEWARD_TIMED_H

#include "conductor.h"

/* Launches until the host asks to stop, the launches are used up, or the time is; then writes the arrays. */
void timed_pass(struct conductor *conductor);

#endif
