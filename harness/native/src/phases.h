/* The phases in which a model runs in fresh processes of its own, around the timed pass. */
#ifndef EDGEWARD_PHASES_H
#define EDGEWARD_PHASES_H

#include "conductor.h"

/* What runs a model, cold starts, memory, accuracy, and the parts from image to answer. */
void phases_before(struct conductor *conductor);

/* Energy. */
void phases_after(struct conductor *conductor);

/* Says of every model that is asked for its profile that there is none here. */
void phases_profile(struct conductor *conductor);

#endif
