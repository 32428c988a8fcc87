/* A runtime: a library that is loaded by name at run time, behind one table of what is asked of it. Each stands in a
 * file of its own, runtime_NAME.c, as on the Python side in harness/agent/runtimes; NAME is the one in job.json. */
#ifndef EDGEWARD_RUNTIME_H
#define EDGEWARD_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "images.h"
#include "text.h"

enum { MAX_OUTPUTS = 64, MAX_AXES = 8 };

struct runtime {
    const struct runtime_kind *kind;
    void *library; /* the kind's own */
};

/* How a model is loaded; `trace`, the beginning of a file name, makes the session note what ran each node, which costs
 * time: never do so in timed ones. NULL: no trace. */
struct loading {
    const char *path, *accelerator, *trace;
    int threads;
};

/* One model with one input, held by its runtime. */
struct session {
    const struct runtime *runtime;
    void *model; /* the kind's own */
    const char *path;
    char *output[MAX_OUTPUTS];
    size_t outputs, axes, judged; /* `judged`: place of the output that is judged */
    float scale, zero_point;      /* what the job says of that output; a scale of 0: nothing */
    int64_t shape[MAX_AXES];      /* of the input; -1 where the model leaves it open */
    enum element type;
    float input_scale, input_zero_point; /* what the runtime says of the input's integers; a scale of 0: nothing */
    const char *accelerator; /* the one asked for that the session really holds, "" if none; known after `holds` */
};

/* An input that is ready, and what an inference gave: each runtime's own. */
struct input;
struct outputs {
    void *value[MAX_OUTPUTS];
};

/* One output: its numbers, and what they stand for where they are integers; a scale of 0: themselves. */
struct tensor {
    enum element type;
    size_t axes;
    int64_t shape[MAX_AXES];
    const void *data;
    float scale, zero_point;
};

/* Functions that can fail return 1, or set `fault` and return 0. */
struct runtime_kind {
    const char *name;
    int one_at_a_time; /* whether it takes one image at a time, whatever the file says */
    int (*open)(struct runtime *runtime, const char *folder, struct fault *fault);
    /* Adds name, version and what runs a model without an accelerator, without braces. */
    void (*facts)(const struct runtime *runtime, struct text *target);
    /* Adds the accelerators that can be asked for as a JSON list. */
    int (*offers)(const struct runtime *runtime, struct text *target, struct fault *fault);
    /* Creates the session, whose time counts, and fills in what is known of it. */
    int (*load)(struct session *session, const struct loading *how, struct fault *fault);
    /* Finds out whether the accelerator asked for is really held, which may take time. */
    int (*holds)(struct session *session, const struct loading *how, struct fault *fault);
    /* Adds a JSON object, what ran nodes -> how many, of a session with a trace after one inference. */
    int (*nodes)(const struct session *session, struct text *target, struct fault *fault);
    /* Whether something in the model computes with integers that stand for numbers. */
    int (*quantised)(const struct session *session);
    /* An input over the bytes at `data`, which stay the caller's; `shape` has four axes. */
    struct input *(*bind)(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                          struct fault *fault);
    void (*unbind)(const struct session *session, struct input *input);
    /* One inference: from a ready input to outputs of its own. This is what is timed. */
    int (*call)(const struct session *session, const struct input *input, struct outputs *outputs,
                struct fault *fault);
    void (*release)(const struct session *session, struct outputs *outputs);
    int (*read)(const struct session *session, const struct outputs *outputs, size_t place, struct tensor *tensor,
                struct fault *fault);
};

extern const struct runtime_kind RUNTIME_ONNXRUNTIME, RUNTIME_LITERT;

/* The runtime of this name, or NULL for one that is not known here. */
const struct runtime_kind *runtime_kind(const char *name);

int runtime_open(struct runtime *runtime, const struct runtime_kind *kind, const char *folder, struct fault *fault);

#endif
