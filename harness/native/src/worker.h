/* One process that holds one model: it loads, infers and answers, and does nothing unless the conductor asks. */
#ifndef EDGEWARD_WORKER_H
#define EDGEWARD_WORKER_H

#include "images.h"
#include "job.h"
#include "json.h"
#include "samples.h"
#include "session.h"
#include "text.h"

struct worker {
    struct job job;
    const struct model *model;
    const struct input_spec *input; /* the model's own, or the job's */
    char *stem;
    struct runtime runtime;
    struct session session;
    struct images images;
    struct input *bound[TIMED_INPUTS];
    size_t inputs, turn;
    struct samples samples;
    struct text answer;
};

/* What the conductor may ask for: each adds its answer, a JSON object, and returns 1, or sets `fault` and returns 0. */
int worker_load(struct worker *worker, const struct json *request, struct fault *fault);
int worker_placement(struct worker *worker, const struct json *request, struct fault *fault);
int worker_first(struct worker *worker, const struct json *request, struct fault *fault);
int worker_warm(struct worker *worker, const struct json *request, struct fault *fault);
int worker_round(struct worker *worker, const struct json *request, struct fault *fault);
int worker_spin(struct worker *worker, const struct json *request, struct fault *fault);
int worker_accuracy(struct worker *worker, const struct json *request, struct fault *fault);
int worker_memory(struct worker *worker, const struct json *request, struct fault *fault);

int worker_parts(struct worker *worker, const struct json *request, struct fault *fault);
int worker_stream(struct worker *worker, const struct json *request, struct fault *fault);

/* A number of a request; 0 when it has none of this name. */
double worker_asked(const struct json *request, const char *key);

/* An input of `batch` images over a buffer of the caller's, or NULL with `fault`. */
struct input *worker_input(struct worker *worker, void *buffer, int batch, struct fault *fault);

/* One inference, whose outputs are released. */
int worker_infer(struct worker *worker, const struct input *input, struct fault *fault);

/* Adds rows of int64 to the model's own file STEM.NAME.raw. */
int worker_keep(const struct worker *worker, const char *name, const int64_t *rows, size_t count,
                struct fault *fault);

/* Serves model `index` of a job: requests on standard input, answers on what was standard output. */
int worker_main(const char *folder, const char *index);

#endif
