/* `job.json` as the host wrote it (docs: FORMATS, "A runner's job"), checked and in C's own types. */
#ifndef EDGEWARD_JOB_H
#define EDGEWARD_JOB_H

#include <stddef.h>
#include <stdint.h>

struct model {
    char *path, *runtime, *runtime_path;
};

/* How an image becomes the model's input; `mean` and `std` hold one entry or one a channel. */
struct input_spec {
    char *path;
    int nchw;
    float scale, *mean, *std;
    size_t means, stds;
};

struct plan {
    int cold_starts, memory_starts, accuracy, round_min, rounds, min_launches, max_launches;
    int hold; /* 1, 0, or -1 to decide by the free memory */
    double warmup_s, round_s, max_timed_s, pause_budget_s, energy_s, deadline_s;
};

/* The `[meter]` table; `kind` is NULL without a meter, `path` where none is given. */
struct meter_spec {
    char *kind, *path;
};

struct job {
    char *folder;
    uint64_t seed;
    int threads;
    size_t models;
    struct model *model;
    struct input_spec input;
    struct plan plan;
    struct meter_spec meter;
};

/* Reads FOLDER/job.json; what is wrong with it ends the process with code 65 and one line on standard error. */
struct job job_read(const char *folder);

#endif
