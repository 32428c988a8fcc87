#include "job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "text.h"

static const char *const JOB[] = {"schema", "seed",  "models", "threads", "batch", "accelerator",
                                  "task",   "input", "meter",  "plan",    NULL};
static const char *const PLAN[] = {
    "cold_starts",  "memory_starts", "accuracy",       "round_min", "rounds",     "min_launches", "max_launches",
    "hold",         "warmup_s",      "round_s",        "energy_s",  "deadline_s", "max_timed_s",  "pause_budget_s",
    "parts_s",      "parts_min",     "sustained_s",    "window_s",  "cooldown_s", "period_ns",    "frames",
    "evicted_starts", NULL};

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

static char *word_or(const struct json *object, const char *key, const char *otherwise)
{
    return json_get(object, key) ? word(object, key) : copy_of(otherwise);
}

static double number(const struct json *object, const char *key)
{
    return member(object, key, JSON_NUMBER, "a number")->number;
}

static double number_or(const struct json *object, const char *key, double otherwise)
{
    return json_get(object, key) ? number(object, key) : otherwise;
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

/* What a newer host may ask for and this runner would leave out in silence is refused instead. */
static void refuse_unknown(const struct json *object, const char *where, const char *const *known)
{
    for (size_t i = 0; i < object->count; i++) {
        const char *const *name = known;
        while (*name && strcmp(*name, object->keys[i]) != 0)
            name++;
        if (*name)
            continue;
        fprintf(stderr, "job.json: the native runner does not know %s%s; set runner = \"python\"\n", where,
                object->keys[i]);
        exit(65);
    }
}

static struct plan plan_of(const struct json *root)
{
    const struct json *plan = member(root, "plan", JSON_OBJECT, "an object");
    refuse_unknown(plan, "plan.", PLAN);
    return (struct plan){
        .cold_starts = whole(plan, "cold_starts"),
        .evicted_starts = (int)number_or(plan, "evicted_starts", 0),
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
        .parts_s = number_or(plan, "parts_s", 0),
        .sustained_s = number_or(plan, "sustained_s", 0),
        .window_s = number_or(plan, "window_s", 0),
        .cooldown_s = number_or(plan, "cooldown_s", 0),
        .parts_min = (int)number_or(plan, "parts_min", 0),
        .frames = (int)number_or(plan, "frames", 0),
        .period_ns = (int64_t)number_or(plan, "period_ns", 0),
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

struct meter_spec job_meter(const struct json *table)
{
    struct meter_spec spec = {
        .kind = word(table, "kind"),
        .path = word_or(table, "path", ""),
        .chip = word_or(table, "chip", ""),
        .channel = word_or(table, "channel", "power1_input"),
        .mode = word_or(table, "mode", "stream"),
        .deadline_s = number_or(table, "deadline_s", 2.0),
        .lead_s = number_or(table, "lead_s", 0),
    };
    const struct json *argv = json_get(table, "argv") ? member(table, "argv", JSON_ARRAY, "a list of words") : NULL;
    size_t count = argv ? argv->count : 0;
    spec.argv = need((count + 1) * sizeof *spec.argv);
    for (size_t i = 0; i < count; i++) {
        if (argv->items[i].kind != JSON_STRING)
            refuse("argv", "a list of words");
        spec.argv[i] = copy_of(argv->items[i].string);
    }
    spec.argv[count] = NULL;
    return spec;
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
    if (root->kind == JSON_OBJECT)
        refuse_unknown(root, "", JOB);
    struct job job = {.folder = copy_of(folder), .input = input_of(root), .plan = plan_of(root)};
    job.seed = (uint64_t)number(root, "seed");
    job.threads = whole(root, "threads");
    models_of(root, &job);
    job.batch = json_get(root, "batch") ? whole(root, "batch") : 1;
    if (job.batch < 1)
        refuse("batch", "1 or more");
    job.accelerator = word_or(root, "accelerator", "");
    job.task = word_or(root, "task", "");
    const struct json *meter = json_get(root, "meter");
    if (meter && meter->kind == JSON_OBJECT)
        job.meter = job_meter(meter);
    json_free(root);
    free(text);
    free(path);
    return job;
}
