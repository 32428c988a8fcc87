/* Execution providers by name, beside the processor. */
#ifndef EDGEWARD_ACCELERATE_H
#define EDGEWARD_ACCELERATE_H

#include "runtime.h"

/* Adds the accelerator `wanted` to the options of a session, if this build has it; `*held`: its name, "" if it has
 * not. */
int accelerate(const struct runtime *runtime, const char *wanted, int threads, void *options, const char **held,
               struct fault *fault);

#endif
