/* kind = "hwmon": a power sensor of the kernel, in µW, or volts times amperes, in mV x mA; both read as watts. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hwmon_chips.h"
#include "hwmon_terms.h"
#include "meter_kind.h"

/* Most that a file may hold, either way: a megawatt in µW. */
#define MOST 1e12

/* Says why there is not exactly one folder with what is meant. */
static int not_one(const char *wanted, const char *what, const struct folders *found, struct fault *fault)
{
    struct text several = {0};
    for (size_t i = 0; i < found->count; i++) {
        char *address = hwmon_address(found->folder[i]);
        text_add(&several, "%s%s", i ? ", " : "", *address ? address : found->folder[i]);
        free(address);
    }
    if (found->count)
        fail(fault, FAULT_METER, "several chips have %s: %s; set chip to one of these", what, several.data);
    else
        fail(fault, FAULT_METER, "%s has no %s; set chip and channel under [meter]",
             *wanted ? wanted : "any chip under " HWMON, what);
    text_free(&several);
    return 0;
}

static int has_all(const char *folder, const struct sensor *sensor)
{
    for (size_t i = 0; i < sensor->terms; i++)
        for (size_t file = 0; file < sensor->term[i].files; file++)
            if (!hwmon_is_file(folder, sensor->term[i].name[file]))
                return 0;
    return 1;
}

/* Refuses a chip with more channels of power than the one that is read unless another is named. */
static int is_alone(const char *folder, struct fault *fault)
{
    struct text shown = {0}, sum = {0};
    int inputs = 0, first = 0;
    for (int number = 1; number < 100; number++) {
        char *name = formatted("power%d_input", number), *path = formatted("%s/power%d_label", folder, number);
        if (hwmon_is_file(folder, name)) {
            char *label = file_word(path);
            text_add(&shown, "%s%s", inputs ? ", " : "", name);
            if (*label)
                text_add(&shown, " (%s)", label);
            text_add(&sum, "%s%s", inputs ? " + " : "", name);
            free(label);
            first = inputs++ ? first : number;
        }
        free(name), free(path);
    }
    if (inputs > 1) {
        char *address = hwmon_address(folder);
        fail(fault, FAULT_METER, "%s has several channels of power: %s", *address ? address : folder, shown.data);
        advise(fault, "name the one, channel = \"power%d_input\", or add up, channel = \"%s\", under [meter]", first,
               sum.data);
        free(address);
    }
    text_free(&shown), text_free(&sum);
    return inputs <= 1;
}

/* Finds the one folder that has all channels that are named. */
static int by_channels(const struct meter_spec *spec, const struct folders *folders, struct sensor *sensor,
                       struct fault *fault)
{
    struct folders having = {0};
    for (size_t i = 0; i < folders->count; i++)
        if (has_all(folders->folder[i], sensor))
            hwmon_add_folder(&having, copy_of(folders->folder[i]));
    struct text what = {0};
    for (size_t i = 0; i < sensor->terms; i++)
        for (size_t file = 0; file < sensor->term[i].files; file++)
            text_add(&what, "%s%s", what.size ? " and " : "", sensor->term[i].name[file]);
    int good = having.count == 1 || not_one(spec->chip, what.data, &having, fault);
    good = good && (*spec->channel || is_alone(having.folder[0], fault));
    for (size_t i = 0; good && i < sensor->terms; i++)
        sensor->term[i].folder = copy_of(having.folder[0]);
    text_free(&what);
    hwmon_free_folders(&having);
    return good;
}

/* Finds the one channel with a label among all chips that are meant. */
static int by_label(const char *chip, const char *label, const struct folders *folders, struct sensor *sensor,
                    struct fault *fault)
{
    struct folders having = {0};
    for (size_t i = 0; i < folders->count; i++)
        if (hwmon_labelled(folders->folder[i], label).files)
            hwmon_add_folder(&having, copy_of(folders->folder[i]));
    char *what = formatted("channel with the label \"%s\"", label);
    int good = having.count == 1 || not_one(chip, what, &having, fault);
    if (good) {
        struct term term = hwmon_labelled(having.folder[0], label);
        term.folder = copy_of(having.folder[0]);
        hwmon_add_term(sensor, term);
    }
    free(what);
    hwmon_free_folders(&having);
    return good;
}

static int open_sensor(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    struct folders folders = {0};
    struct sensor *sensor = need(sizeof *sensor);
    *sensor = (struct sensor){0};
    meter->state = sensor;
    if (*spec->channel && *spec->labels)
        return fail(fault, FAULT_METER, "channel and labels say the same twice; leave one");
    if (*spec->labels == NULL && !hwmon_terms_of(spec->channel, sensor, fault))
        return 0;
    int good = hwmon_chips(spec->chip, &folders, fault);
    for (size_t i = 0; good && spec->labels[i]; i++)
        good = by_label(spec->chip, spec->labels[i], &folders, sensor, fault);
    if (good && *spec->labels == NULL)
        good = by_channels(spec, &folders, sensor, fault);
    hwmon_free_folders(&folders);
    return good;
}

static int read_term(const struct term *term, double *watts, double *step, struct fault *fault)
{
    *watts = 1e-6; /* µW, and mV x mA, alike */
    *step = 0;
    for (size_t i = 0; i < term->files; i++) {
        double value;
        if (!meter_reading(term->folder, term->name[i], MOST, &value, fault))
            return 0;
        *watts *= value;
        /* A last digit of volts or amperes moves the product by the other. */
        *step += 1e-6 * fabs(value);
    }
    if (term->files == 1)
        *step = 1e-6;
    return 1;
}

static int read_sensor(struct meter *meter, double *watts, struct fault *fault)
{
    const struct sensor *sensor = meter->state;
    double steps = 0;
    *watts = 0;
    for (size_t i = 0; i < sensor->terms; i++) {
        double one, step;
        if (!read_term(&sensor->term[i], &one, &step, fault))
            return 0;
        *watts += one;
        steps += step;
    }
    meter->resolution = steps;
    return 1;
}

static void close_sensor(struct meter *meter)
{
    struct sensor *sensor = meter->state;
    for (size_t i = 0; i < sensor->terms; i++)
        free(sensor->term[i].folder);
    free(sensor->term);
    free(sensor);
}

const struct meter_kind METER_HWMON = {
    .name = "hwmon", .open = open_sensor, .read = read_sensor, .close = close_sensor};
