/* One model with one input, held by libonnxruntime. */
#ifndef EDGEWARD_SESSION_H
#define EDGEWARD_SESSION_H

#include <stdint.h>

#include "images.h"
#include "runtime.h"

struct OrtValue;

enum { MAX_OUTPUTS = 64, MAX_AXES = 8 };

struct session {
    const struct OrtApi *api;
    void *handle, *memory;
    char *input, *output[MAX_OUTPUTS];
    size_t outputs, axes, judged; /* `judged`: place of the output that is judged */
    float scale, zero_point;      /* of that output; a scale of 0: it is taken as it is */
    int64_t shape[MAX_AXES]; /* of the input; -1 where the model leaves it open */
    enum element type;
    const char *accelerator; /* the execution provider asked for that the session really holds, "" if none */
};

/* How a model is loaded; `trace`, the beginning of a file name, makes the session note what ran each node, which costs
 * time: never do so in timed ones. NULL: no trace. */
struct loading {
    const char *path, *accelerator, *trace;
    int threads;
};

/* What an inference gave; to be released. */
struct outputs {
    struct OrtValue *value[MAX_OUTPUTS];
};

int session_open(struct session *session, const struct runtime *runtime, const struct loading *how,
                 struct fault *fault);

/* Says which output is judged, by its name, "" for the first, and what its integers stand for; 0: as they are. */
int session_judge(struct session *session, const char *name, double scale, double zero_point, struct fault *fault);

/* Adds a JSON object, provider -> nodes it ran since loading, of a session with `trace`; the trace is removed. */
int session_nodes(const struct session *session, struct text *target, struct fault *fault);

/* An input over the bytes at `data`, which stay the caller's. */
struct OrtValue *session_bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                              struct fault *fault);
void session_unbind(const struct session *session, struct OrtValue *input);

int session_call(const struct session *session, const struct OrtValue *input, struct outputs *outputs,
                 struct fault *fault);
void session_release(const struct session *session, struct outputs *outputs);

/* The output that is judged without its batch axis, as float32: its shape, and a new array. NULL with `fault`. */
float *session_result(const struct session *session, const struct outputs *outputs, size_t *shape, size_t *axes,
                      size_t *count, struct fault *fault);

#endif
