/* Execution providers by name, beside the processor. */
#ifndef EDGEWARD_ACCELERATE_H
#define EDGEWARD_ACCELERATE_H

#include "runtime.h"

/* Turns a status of the runtime into a fault of `kind`; 1 when there is none. */
int runtime_good(const struct OrtApi *api, void *status, const char *kind, struct fault *fault);

/* Adds the accelerator that is asked for to the options of a session, if this build has it. */
int accelerate(struct session *session, const struct runtime *runtime, const struct loading *how, void *options,
               struct fault *fault);

#endif
