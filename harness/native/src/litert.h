/* What the files of LiteRT share. */
#ifndef EDGEWARD_LITERT_H
#define EDGEWARD_LITERT_H

#include "litert_api.h"
#include "runtime.h"

struct litert {
    struct litert_api api;
    void *environment;
    char *version;
};

/* A loaded model, as its session holds it: buffers for its input and outputs, and the memory that they are. */
struct litert_model {
    const struct litert *library;
    void *mapped;
    size_t size;
    void *file, *subgraph, *compiled, *profiler;
    size_t signature;
    int64_t log; /* how long the log was when the model was loaded */
    void *input, *output[MAX_OUTPUTS];
    void *input_memory, *output_memory[MAX_OUTPUTS];
    size_t input_bytes, output_bytes[MAX_OUTPUTS];
    struct tensor seen[MAX_OUTPUTS]; /* of each output; without its data */
};

#define LITERT_XNNPACK "xnnpack"

int litert_open(struct runtime *runtime, const char *folder, struct fault *fault);

/* Creates a session: the library reads the file, XNNPACK takes what it can, memory is made and weights are packed. */
int litert_load(struct session *session, const struct loading *how, struct fault *fault);

/* How long the log on standard error is; -1 where it is no file. */
int64_t litert_log_end(void);

/* Turns a status into a fault of `kind` with what the runtime said since the log was `log` long; 1 for success. */
int litert_good(int status, const char *kind, const char *function, int64_t log, struct fault *fault);

/* Counts what ran the nodes of a session with a trace, after one inference. */
int litert_count(const struct litert_model *model, size_t *xnnpack, size_t *builtin, struct fault *fault);

/* Whether some tensor of the model holds integers that stand for numbers. */
int litert_quantised(const struct litert_model *model);

/* What a tensor's integers stand for; a scale of 0 where it is not one number for all of them. */
struct litert_scale litert_scale_of(const struct litert *library, void *tensor);

#endif
