/* The sustained pass: each model alone under load for minutes, because heat is the question.
 *
 * There are no turns here: the models follow one another in random order, and before each the device cools down until
 * the sentinel and the temperature say so, or a deadline passes. The load is cut into short windows, between which the
 * temperature is read; nothing else happens there. */
#ifndef EDGEWARD_SUSTAINED_H
#define EDGEWARD_SUSTAINED_H

#include "conductor.h"

/* Puts every model under load; what each gave is in its `sustained` event and its arrays. */
void sustained_pass(struct conductor *conductor);

#endif
