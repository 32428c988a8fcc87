/* libonnxruntime, loaded by name at run time: one model with one input. */
#ifndef EDGEWARD_RUNTIME_H
#define EDGEWARD_RUNTIME_H

#include <stdint.h>

#include "images.h"
#include "text.h"

struct OrtApi;
struct OrtValue;

enum { MAX_OUTPUTS = 64, MAX_AXES = 8 };

struct runtime {
    const struct OrtApi *api;
    void *environment;
    const char *version;
};

struct session {
    const struct OrtApi *api;
    void *handle, *memory;
    char *input, *output[MAX_OUTPUTS];
    size_t outputs, axes;
    int64_t shape[MAX_AXES]; /* of the input; -1 where the model leaves it open */
    enum element type;
};

/* What an inference gave; to be released. */
struct outputs {
    struct OrtValue *value[MAX_OUTPUTS];
};

int runtime_open(struct runtime *runtime, const char *folder, struct fault *fault);
int session_open(struct session *session, const struct runtime *runtime, const char *path, int threads,
                 struct fault *fault);

/* An input over the bytes at `data`, which stay the caller's. */
struct OrtValue *session_bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                              struct fault *fault);
void session_unbind(const struct session *session, struct OrtValue *input);

int session_call(const struct session *session, const struct OrtValue *input, struct outputs *outputs,
                 struct fault *fault);
void session_release(const struct session *session, struct outputs *outputs);

/* The first output without its batch axis, as float32: its shape, and a new array. NULL with `fault`. */
float *session_result(const struct session *session, const struct outputs *outputs, size_t *shape, size_t *axes,
                      size_t *count, struct fault *fault);

#endif
