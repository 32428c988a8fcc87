/* libonnxruntime, loaded by name at run time, and what it says of itself. */
#ifndef EDGEWARD_RUNTIME_H
#define EDGEWARD_RUNTIME_H

#include "text.h"

struct OrtApi;

struct runtime {
    const struct OrtApi *api;
    void *environment;
    const char *version;
    int accelerates; /* whether this release is new enough for execution providers by name */
};

#define RUNTIME_CPU "CPUExecutionProvider"

int runtime_open(struct runtime *runtime, const char *folder, struct fault *fault);

/* Turns a status of the runtime into a fault of `kind`; 1 when there is none. */
int runtime_good(const struct OrtApi *api, void *status, const char *kind, struct fault *fault);

/* Adds name, version and what runs a model without an accelerator, without braces. */
void runtime_facts(const struct runtime *runtime, struct text *target);

/* Whether this build has the execution provider; 0 with `fault` where the release cannot say. */
int runtime_has(const struct runtime *runtime, const char *provider, struct fault *fault);

/* Adds the execution providers of this build as a JSON list. */
int runtime_offers(const struct runtime *runtime, struct text *target, struct fault *fault);

#endif
