/* `job.json` as the host wrote it, checked and in C's own types: the tables of contract.h. */
#ifndef EDGEWARD_JOB_H
#define EDGEWARD_JOB_H

#include <stddef.h>
#include <stdint.h>

#include "contract.h"

/* The kinds of value that contract.h names, as they are held here. */
typedef int64_t job_whole;
typedef double job_number;
typedef int job_truth;
typedef int job_truth_or_auto; /* 1, 0 or AUTO */
typedef char *job_word;
typedef struct {
    float *value;
    size_t count;
} job_numbers;
enum { AUTO = -1 };

#define DECLARE(kind, name) job_##kind name;
#define DECLARE_OPTIONAL(kind, name, value) job_##kind name;

/* How an image becomes the model's input; `mean` and `std` hold one entry or one a channel. */
struct input_spec {
    INPUT_FIELDS(DECLARE, DECLARE_OPTIONAL)
};

/* `input` is NULL where the model is fed as the job says; `labels` counts the texts that its answers may be,
 * `constants` its inputs beside the image. `copy_of` is NO_COPY, or the place of the model whose file this one runs as
 * well: a control, which takes part in the timed pass alone. */
struct model {
    MODEL_FIELDS(DECLARE, DECLARE_OPTIONAL)
    struct input_spec *input;
    size_t labels, constants;
    int64_t copy_of;
};
enum { NO_COPY = -1 };

/* How often, how long, and when to stop at the latest; harness/agent/contract.py explains each. */
struct plan {
    PLAN_FIELDS(DECLARE, DECLARE_OPTIONAL)
};

/* The `[meter]` table; `kind` is NULL without a meter. The others are what they are by default where nothing is given;
 * `argv` and `labels` end in NULL. `lead_s`: a meter that the host reads is announced so long before its windows. */
struct meter_spec {
    char *kind, *path, *supply, *voltage_unit, *current_unit, *power_unit, *chip, *channel, *mode, **argv, **labels;
    double deadline_s, lead_s;
};

struct job {
    JOB_FIELDS(DECLARE, DECLARE_OPTIONAL)
    char *folder;
    size_t models;
    struct model *model;
    struct input_spec input;
    struct plan plan;
    struct meter_spec meter;
};

/* Reads FOLDER/job.json; what is wrong with it ends the process with code 65 and one line on standard error. */
struct job job_read(const char *folder);

/* The `[meter]` table in JSON; ends the process likewise. */
struct json;
struct meter_spec job_meter(const struct json *table);

#endif
