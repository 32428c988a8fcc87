#include "job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "text.h"

/* The largest whole number that JSON's numbers hold for certain: 2 to the power of 53. */
static const double MOST = 9007199254740992.0;

static void refuse(const char *key, const char *wanted)
{
    fprintf(stderr, JOB_FILE ": %s must be %s; was it written by another version of edgeward?\n", key, wanted);
    exit(65);
}

static const struct json *member(const struct json *object, const char *key, enum json_kind kind, const char *wanted)
{
    const struct json *found = json_get(object, key);
    if (found == NULL || found->kind != kind)
        refuse(key, wanted);
    return found;
}

static job_word read_word(const struct json *object, const char *key)
{
    return copy_of(member(object, key, JSON_STRING, "a string")->string);
}

static job_number read_number(const struct json *object, const char *key)
{
    return member(object, key, JSON_NUMBER, "a number")->number;
}

static job_truth read_truth(const struct json *object, const char *key)
{
    return member(object, key, JSON_BOOL, "true or false")->number != 0;
}

static job_truth_or_auto read_truth_or_auto(const struct json *object, const char *key)
{
    const struct json *found = json_get(object, key);
    if (found && found->kind == JSON_STRING && strcmp(found->string, "auto") == 0)
        return AUTO;
    return member(object, key, JSON_BOOL, "true, false or \"auto\"")->number != 0;
}

static job_whole read_whole(const struct json *object, const char *key)
{
    double value = read_number(object, key);
    if (value < 0 || value > MOST || value != floor(value))
        refuse(key, "a whole number");
    return (job_whole)value;
}

/* numpy rounds a double once to float32; so does this. */
static job_numbers read_numbers(const struct json *object, const char *key)
{
    const struct json *list = member(object, key, JSON_ARRAY, "a list of numbers");
    job_numbers found = {need(list->count * sizeof *found.value), list->count};
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != JSON_NUMBER)
            refuse(key, "a list of numbers");
        found.value[i] = (float)list->items[i].number;
    }
    return found;
}

static char *word_or(const struct json *object, const char *key, const char *otherwise)
{
    return json_get(object, key) ? read_word(object, key) : copy_of(otherwise);
}

static double number_or(const struct json *object, const char *key, double otherwise)
{
    return json_get(object, key) ? read_number(object, key) : otherwise;
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
        fprintf(stderr, JOB_FILE " has %s%s, which this runner does not know; "
                                 "was it written by another version of edgeward?\n",
                where, object->keys[i]);
        exit(65);
    }
}

#define READ(kind, name) .name = read_##kind(object, #name),
#define READ_OPTIONAL(kind, name, otherwise) \
    .name = json_get(object, #name) ? read_##kind(object, #name) : (job_##kind)(otherwise),

static struct input_spec input_of(const struct json *root)
{
    static const char *const keys[] = INPUT_KEYS;
    const struct json *object = member(root, "input", JSON_OBJECT, "an object");
    refuse_unknown(object, "input.", keys);
    return (struct input_spec){INPUT_FIELDS(READ, READ_OPTIONAL)};
}

static struct model model_of(const struct json *object)
{
    static const char *const keys[] = MODEL_KEYS;
    refuse_unknown(object, "models.", keys);
    struct model model = {MODEL_FIELDS(READ, READ_OPTIONAL)};
    if (json_get(object, "labels"))
        model.labels = member(object, "labels", JSON_ARRAY, "a list of words")->count;
    if (json_get(object, "constants"))
        model.constants = member(object, "constants", JSON_OBJECT, "a table of numbers")->count;
    if (json_get(object, "input")) {
        model.input = need(sizeof *model.input);
        *model.input = input_of(object);
    }
    model.copy_of = json_get(object, "copy_of") ? read_whole(object, "copy_of") : NO_COPY;
    return model;
}

static struct plan plan_of(const struct json *root)
{
    static const char *const keys[] = PLAN_KEYS;
    const struct json *object = member(root, "plan", JSON_OBJECT, "an object");
    refuse_unknown(object, "plan.", keys);
    return (struct plan){PLAN_FIELDS(READ, READ_OPTIONAL)};
}

static struct job job_of(const struct json *object)
{
    static const char *const keys[] = JOB_KEYS;
    if (object->kind != JSON_OBJECT)
        refuse("the whole", "an object");
    refuse_unknown(object, "", keys);
    struct job job = {JOB_FIELDS(READ, READ_OPTIONAL)};
    const struct json *models = member(object, "models", JSON_ARRAY, "a list"), *meter = json_get(object, "meter");
    if (job.schema != JOB_SCHEMA)
        refuse("schema", "the one that this runner knows");
    if (job.batch < 1)
        refuse("batch", "1 or more");
    job.input = input_of(object);
    job.plan = plan_of(object);
    job.models = models->count;
    job.model = need(models->count * sizeof *job.model);
    for (size_t i = 0; i < models->count; i++) {
        job.model[i] = model_of(&models->items[i]);
        if (job.model[i].copy_of >= (int64_t)models->count)
            refuse("copy_of", "the place of a model");
    }
    if (meter && meter->kind != JSON_NULL)
        job.meter = job_meter(member(object, "meter", JSON_OBJECT, "an object"));
    return job;
}

/* The words of a list, NULL behind the last; none where there is no list. */
static char **words_of(const struct json *table, const char *key)
{
    const struct json *list = json_get(table, key) ? member(table, key, JSON_ARRAY, "a list of words") : NULL;
    size_t count = list ? list->count : 0;
    char **words = need((count + 1) * sizeof *words);
    for (size_t i = 0; i < count; i++) {
        if (list->items[i].kind != JSON_STRING)
            refuse(key, "a list of words");
        words[i] = copy_of(list->items[i].string);
    }
    words[count] = NULL;
    return words;
}

struct meter_spec job_meter(const struct json *table)
{
    struct meter_spec spec = {
        .kind = read_word(table, "kind"),
        .path = word_or(table, "path", ""),
        .supply = word_or(table, "supply", ""),
        .voltage_unit = word_or(table, "voltage_unit", ""),
        .current_unit = word_or(table, "current_unit", ""),
        .power_unit = word_or(table, "power_unit", ""),
        .chip = word_or(table, "chip", ""),
        .channel = word_or(table, "channel", ""),
        .mode = word_or(table, "mode", "stream"),
        .deadline_s = number_or(table, "deadline_s", 2.0),
        .lead_s = number_or(table, "lead_s", 0),
    };
    spec.argv = words_of(table, "argv");
    spec.labels = words_of(table, "labels");
    return spec;
}

struct job job_read(const char *folder)
{
    char *path = formatted("%s/" JOB_FILE, folder), *text = file_text(path);
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
    struct job job = job_of(root);
    job.folder = copy_of(folder);
    json_free(root);
    free(text);
    free(path);
    return job;
}
