/* What a runtime's words mean. */
#ifndef EDGEWARD_BLAME_H
#define EDGEWARD_BLAME_H

#include "text.h"

/* Sets `fault` to what a runtime said, of `kind` unless it says that memory ran out; returns 0. */
int blame(struct fault *fault, const char *kind, const char *said);

#endif
