/* What the phases of a job share: the job, its events, which models are still measured, and their processes. */
#ifndef EDGEWARD_CONDUCTOR_H
#define EDGEWARD_CONDUCTOR_H

#include <stdint.h>

#include "events.h"
#include "job.h"
#include "presence.h"
#include "process.h"
#include "sentinel.h"

struct conductor {
    struct job job;
    struct program program;
    struct events events;
    struct presence presence; /* of the host */
    struct spent spent;
    struct sentinel sentinel;
    uint64_t random;
    int *alive;          /* one a model */
    int64_t *peak_bytes; /* the highest VmHWM seen of each model */
    int *accelerated;    /* of each model, whether the accelerator that was asked for was seen to run it */
    double cool_c;       /* before any model ran, where `cool_known` */
    int cool_known;
};

/* The place of a model, or of the one that it is a copy of. */
size_t conductor_original(const struct conductor *conductor, size_t index);

/* Starts the worker of a model; 0 with `fault` when it does not get ready. */
int conductor_start(struct conductor *conductor, size_t index, struct process *process, struct fault *fault);

/* Leaves a model out from now on and says why. */
void conductor_drop(struct conductor *conductor, size_t index, const char *phase, const struct fault *fault);

/* The next number of the job's own random sequence. */
uint64_t conductor_random(struct conductor *conductor);

/* The models that are measured and no copies, in random order, as `conductor_shuffled` has them. */
size_t conductor_originals(struct conductor *conductor, size_t *order);

/* The models for which `wanted` is not 0, in random order; returns how many. `order` has room for all. */
size_t conductor_shuffled(struct conductor *conductor, const int *wanted, size_t *order);

/* Whether a file of this name lies in the job directory. */
int conductor_has_file(const struct conductor *conductor, const char *name);

#endif
