/* One process that holds one model: it loads, infers and answers, and does nothing unless the conductor asks. */
#ifndef EDGEWARD_WORKER_H
#define EDGEWARD_WORKER_H

#include "images.h"
#include "job.h"
#include "json.h"
#include "runtime.h"
#include "samples.h"
#include "text.h"

/* Inputs that the timed loop cycles through: real images, few enough to stay in the cache like a live frame. */
enum { TIMED_INPUTS = 16 };

struct worker {
    struct job job;
    const struct model *model;
    char *stem;
    struct runtime runtime;
    struct session session;
    struct images images;
    struct OrtValue *bound[TIMED_INPUTS];
    size_t inputs, turn;
    struct samples samples;
    struct text answer;
};

/* What the conductor may ask for: each adds its answer, a JSON object, and returns 1, or sets `fault` and returns 0. */
int worker_load(struct worker *worker, const struct json *request, struct fault *fault);
int worker_first(struct worker *worker, const struct json *request, struct fault *fault);
int worker_warm(struct worker *worker, const struct json *request, struct fault *fault);
int worker_round(struct worker *worker, const struct json *request, struct fault *fault);
int worker_spin(struct worker *worker, const struct json *request, struct fault *fault);
int worker_accuracy(struct worker *worker, const struct json *request, struct fault *fault);
int worker_memory(struct worker *worker, const struct json *request, struct fault *fault);

/* An input over a buffer of the caller's, or NULL with `fault`. */
struct OrtValue *worker_input(struct worker *worker, void *buffer, struct fault *fault);

/* Serves model `index` of a job: requests on standard input, answers on what was standard output. */
int worker_main(const char *folder, const char *index);

#endif
