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
    int cold_starts, evicted_starts, memory_starts, accuracy, round_min, rounds, min_launches, max_launches;
    int hold; /* 1, 0, or -1 to decide by the free memory */
    double warmup_s, round_s, max_timed_s, pause_budget_s, energy_s, deadline_s;
    /* What other scenarios add; 0 where they do not. `period_ns` and `frames`: of a stream's block. */
    double parts_s, sustained_s, window_s, cooldown_s;
    int parts_min, frames;
    int64_t period_ns;
};

/* The `[meter]` table; `kind` is NULL without a meter. The others are what they are by default where nothing is given;
 * `argv` ends in NULL. */
struct meter_spec {
    char *kind, *path, *chip, *channel, *mode, **argv;
    double deadline_s, lead_s;
};

/* The kind of a meter that the host reads, `lead_s` after it was told of it. */
#define METER_HOST "host"

struct job {
    char *folder;
    uint64_t seed;
    int threads, batch;
    size_t models;
    struct model *model;
    struct input_spec input;
    struct plan plan;
    struct meter_spec meter;
    char *accelerator, *task; /* "" where none is asked for, or said */
};

/* Reads FOLDER/job.json; what is wrong with it ends the process with code 65 and one line on standard error. */
struct job job_read(const char *folder);

/* The `[meter]` table in JSON; ends the process likewise. */
struct json;
struct meter_spec job_meter(const struct json *table);

#endif
