/* What the files of onnxruntime share. */
#ifndef EDGEWARD_ONNXRUNTIME_H
#define EDGEWARD_ONNXRUNTIME_H

#include "runtime.h"

struct OrtApi;

struct onnxruntime {
    const struct OrtApi *api;
    void *environment;
    const char *version;
    int accelerates; /* whether this release is new enough for execution providers by name */
};

#define ONNXRUNTIME_CPU "CPUExecutionProvider"

int onnxruntime_open(struct runtime *runtime, const char *folder, struct fault *fault);

/* Turns a status of the runtime into a fault of `kind`; 1 when there is none. */
int onnxruntime_good(const struct OrtApi *api, void *status, const char *kind, struct fault *fault);

void onnxruntime_facts(const struct runtime *runtime, struct text *target);

/* Whether this build has the execution provider; 0 with `fault` where the release cannot say. */
int onnxruntime_has(const struct onnxruntime *library, const char *provider, struct fault *fault);

/* Adds the execution providers of this build as a JSON list. */
int onnxruntime_offers(const struct runtime *runtime, struct text *target, struct fault *fault);

/* Adds the accelerator `wanted` to the options of a session, if this build has it; `*held`: its name, "" if it has
 * not. */
int onnxruntime_accelerate(const struct onnxruntime *library, const struct loading *how, void *options,
                           const char **held, struct fault *fault);

/* Ends the trace of a session and adds provider -> nodes it ran as a JSON object; the trace is removed. */
int onnxruntime_nodes(const struct OrtApi *api, void *handle, struct text *target, struct fault *fault);

#endif
