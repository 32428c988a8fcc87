#include "job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "text.h"

static void refuse(const char *key, const char *wanted)
{
    fprintf(stderr, "job.json: %s must be %s; was it written by another version of edgeward?\n", key, wanted);
    exit(65);
}

static const struct json *member(const struct json *object, const char *key, enum json_kind kind, const char *wanted)
{
    const struct json *found = json_get(object, key);
    if (found == NULL || found->kind != kind)
        refuse(key, wanted);
    return found;
}

static char *word(const struct json *object, const char *key)
{
    return copy_of(member(object, key, JSON_STRING, "a string")->string);
}

static double number(const struct json *object, const char *key)
{
    return member(object, key, JSON_NUMBER, "a number")->number;
}

static int whole(const struct json *object, const char *key)
{
    double value = number(object, key);
    if (value < 0 || value > 1e9 || value != floor(value))
        refuse(key, "a whole number");
    return (int)value;
}

/* numpy rounds a double once to float32; so does this. */
static float *floats(const struct json *object, const char *key, size_t *count)
{
    const struct json *list = member(object, key, JSON_ARRAY, "a list of numbers");
    float *values = need(list->count * sizeof *values);
    *count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != JSON_NUMBER)
            refuse(key, "a list of numbers");
        values[i] = (float)list->items[i].number;
    }
    return values;
}

static struct input_spec input_of(const struct json *root)
{
    const struct json *input = member(root, "input", JSON_OBJECT, "an object");
    struct input_spec spec = {.path = word(input, "path"), .scale = (float)number(input, "scale")};
    char *layout = word(input, "layout");
    spec.nchw = strcmp(layout, "NCHW") == 0;
    free(layout);
    spec.mean = floats(input, "mean", &spec.means);
    spec.std = floats(input, "std", &spec.stds);
    return spec;
}

static int hold_of(const struct json *plan)
{
    const struct json *wanted = json_get(plan, "hold");
    if (wanted == NULL || wanted->kind == JSON_STRING)
        return -1;
    return wanted->number != 0;
}

static struct plan plan_of(const struct json *root)
{
    const struct json *plan = member(root, "plan", JSON_OBJECT, "an object");
    return (struct plan){
        .cold_starts = whole(plan, "cold_starts"),
        .memory_starts = whole(plan, "memory_starts"),
        .accuracy = member(plan, "accuracy", JSON_BOOL, "true or false")->number != 0,
        .round_min = whole(plan, "round_min"),
        .rounds = whole(plan, "rounds"),
        .min_launches = whole(plan, "min_launches"),
        .max_launches = whole(plan, "max_launches"),
        .hold = hold_of(plan),
        .warmup_s = number(plan, "warmup_s"),
        .round_s = number(plan, "round_s"),
        .max_timed_s = number(plan, "max_timed_s"),
        .pause_budget_s = number(plan, "pause_budget_s"),
        .energy_s = number(plan, "energy_s"),
        .deadline_s = number(plan, "deadline_s"),
    };
}

static void models_of(const struct json *root, struct job *job)
{
    const struct json *models = member(root, "models", JSON_ARRAY, "a list");
    job->models = models->count;
    job->model = need(models->count * sizeof *job->model);
    for (size_t i = 0; i < models->count; i++) {
        const struct json *one = &models->items[i];
        job->model[i] = (struct model){word(one, "path"), word(one, "runtime"), word(one, "runtime_path")};
    }
}

struct job job_read(const char *folder)
{
    char *path = formatted("%s/job.json", folder), *text = file_text(path);
    const char *wrong = "";
    if (text == NULL) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(65);
    }
    struct json *root = json_parse(text, &wrong);
    if (root == NULL) {
        fprintf(stderr, "%s is not JSON at byte %zu\n", path, (size_t)(wrong - text));
        exit(65);
    }
    struct job job = {.folder = copy_of(folder), .input = input_of(root), .plan = plan_of(root)};
    job.seed = (uint64_t)number(root, "seed");
    job.threads = whole(root, "threads");
    models_of(root, &job);
    const struct json *meter = json_get(root, "meter");
    if (meter && meter->kind == JSON_OBJECT) {
        job.meter.kind = word(meter, "kind");
        job.meter.path = json_get(meter, "path") ? word(meter, "path") : NULL;
    }
    json_free(root);
    free(text);
    free(path);
    return job;
}
