/* The conductor: one detached process that measures every model of a job, one phase after the other.
 *
 * `job.json` in; `events.jsonl` and arrays out. It needs no connection and decides nothing about statistics: the host
 * may leave a file `stop` (end the timed pass after this launch) or `stop-INDEX` (that model is decided) in the job
 * directory. A model that fails is left out from then on and harms no other. */
#ifndef EDGEWARD_CONDUCT_H
#define EDGEWARD_CONDUCT_H

#include <stdint.h>

#include "events.h"
#include "job.h"
#include "process.h"
#include "sentinel.h"

struct conductor {
    struct job job;
    struct program program;
    struct events events;
    struct spent spent;
    struct sentinel sentinel;
    uint64_t random;
    int *alive;          /* one a model */
    int64_t *peak_bytes; /* the highest VmHWM seen of each model */
    int *accelerated;    /* of each model, whether the accelerator that was asked for was seen to run it */
    double cool_c;       /* before any model ran, where `cool_known` */
    int cool_known;
};

/* Measures the job directory; `detach`: returns at once and goes on in a session of its own. */
int conduct_main(const char *name, const char *folder, int detach);

int conduct_start(struct conductor *conductor, size_t index, struct process *process, struct fault *fault);

/* Leaves a model out from now on and says why. */
void conduct_drop(struct conductor *conductor, size_t index, const char *phase, const struct fault *fault);

/* A number of the job's own course of chance. */
uint64_t conduct_random(struct conductor *conductor);

/* The models for which `wanted` is not 0, in random order; returns how many. `order` has room for all. */
size_t conduct_shuffled(struct conductor *conductor, const int *wanted, size_t *order);

/* Whether a file of this name lies in the job directory. */
int conduct_told(const struct conductor *conductor, const char *name);

#endif
