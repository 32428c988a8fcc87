/* kind = "hwmon": a power sensor of the kernel, in µW, or volts times amperes, in mV x mA; both read as watts. */
#include <glob.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meter_kind.h"

#define ROOT "/sys/class/hwmon"

struct sensor {
    char *file[2];
    size_t files;
};

static int matches(const char *text, const char *pattern)
{
    regex_t made;
    if (regcomp(&made, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return 0;
    int found = regexec(&made, text, 0, NULL, 0) == 0;
    regfree(&made);
    return found;
}

static int is_file(const char *folder, const char *name)
{
    struct stat facts;
    char *path = formatted("%s/%s", folder, name);
    int found = stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
    free(path);
    return found;
}

/* The one or two files that a channel names; returns how many, 0 for what is no channel of power. */
static size_t channels_of(const char *channel, char names[2][32])
{
    static const char volts[] = "^in[0-9]+_input *\\* *curr[0-9]+_input$",
                      amperes[] = "^curr[0-9]+_input *\\* *in[0-9]+_input$";
    if (strlen(channel) < 32 && matches(channel, "^power[0-9]+_(input|average)$"))
        return snprintf(names[0], 32, "%s", channel) > 0;
    if (!matches(channel, volts) && !matches(channel, amperes))
        return 0;
    return sscanf(channel, "%31[a-z0-9_] * %31[a-z0-9_]", names[0], names[1]) == 2 ? 2 : 0;
}

/* Adds the folder if it has all channels. */
static void try_folder(char *folder, char names[2][32], size_t count, char ***found, size_t *founds)
{
    for (size_t i = 0; i < count; i++)
        if (!is_file(folder, names[i])) {
            free(folder);
            return;
        }
    *found = need_again(*found, (*founds + 1) * sizeof **found);
    (*found)[(*founds)++] = folder;
}

static char *name_of(const char *place)
{
    char *path = formatted("%s/name", place), *name = file_word(path);
    free(path);
    return name;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Says which chips there are, as none is called what is wanted. */
static int no_such_chip(const char *wanted, const glob_t *places, struct fault *fault)
{
    struct text seen = {0};
    char **names = need(places->gl_pathc * sizeof *names);
    for (size_t i = 0; i < places->gl_pathc; i++)
        names[i] = name_of(places->gl_pathv[i]);
    qsort(names, places->gl_pathc, sizeof *names, by_name);
    for (size_t i = 0; i < places->gl_pathc; i++)
        if (*names[i] && (i == 0 || strcmp(names[i], names[i - 1]) != 0))
            text_add(&seen, "%s%s", seen.size ? ", " : "", names[i]);
    for (size_t i = 0; i < places->gl_pathc; i++)
        free(names[i]);
    free(names);
    fail(fault, FAULT_METER, "no chip under " ROOT " is called \"%s\"; there is: %s", wanted,
         seen.size ? seen.data : "none");
    text_free(&seen);
    return 0;
}

/* Says why there is not exactly one folder with the channels. */
static int not_one(const char *wanted, const char *channels, char **found, size_t founds, struct fault *fault)
{
    struct text several = {0};
    for (size_t i = 0; i < founds; i++)
        text_add(&several, "%s%s", i ? ", " : "", found[i]);
    if (founds)
        fail(fault, FAULT_METER, "several chips have %s: %s; set chip to one of these folders", channels, several.data);
    else
        fail(fault, FAULT_METER, "%s has no %s; set chip and channel under [meter]",
             *wanted ? wanted : "any chip under " ROOT, channels);
    text_free(&several);
    return 0;
}

/* Adds the place, or the folder one further down where drivers written before 2013 keep their channels. */
static void try_place(const char *place, char names[2][32], size_t count, char ***found, size_t *founds)
{
    try_folder(copy_of(place), names, count, found, founds);
    try_folder(formatted("%s/device", place), names, count, found, founds);
}

/* The folders with all channels among the places that are meant; 0 with `fault` where no chip has the name. */
static int look(const char *wanted, char names[2][32], size_t count, char ***found, size_t *founds,
                struct fault *fault)
{
    glob_t places = {0};
    int meant = *wanted == 0;
    if (strchr(wanted, '/')) {
        try_place(wanted, names, count, found, founds);
        return 1;
    }
    glob(ROOT "/*", 0, NULL, &places);
    for (size_t i = 0; i < places.gl_pathc; i++) {
        char *name = name_of(places.gl_pathv[i]);
        int this = *wanted == 0 || strcmp(name, wanted) == 0;
        free(name);
        if (this)
            try_place(places.gl_pathv[i], names, count, found, founds);
        meant = meant || this;
    }
    int good = meant || no_such_chip(wanted, &places, fault);
    globfree(&places);
    return good;
}

static int open_sensor(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    char names[2][32], **found = NULL;
    size_t count = channels_of(spec->channel, names), founds = 0;
    if (count == 0)
        return fail(fault, FAULT_METER,
                    "\"%s\" is no channel of power; write \"power1_input\", or volts times amperes: "
                    "\"in1_input * curr1_input\"",
                    spec->channel);
    int good = look(spec->chip, names, count, &found, &founds, fault);
    if (good && founds != 1) {
        char *both = count == 2 ? formatted("%s and %s", names[0], names[1]) : copy_of(names[0]);
        good = not_one(spec->chip, both, found, founds, fault);
        free(both);
    }
    struct sensor *sensor = need(sizeof *sensor);
    *sensor = (struct sensor){0};
    for (size_t i = 0; good && i < count; i++)
        sensor->file[sensor->files++] = formatted("%s/%s", found[0], names[i]);
    for (size_t i = 0; i < founds; i++)
        free(found[i]);
    free(found);
    meter->state = sensor;
    return good;
}

static int read_sensor(struct meter *meter, double *watts, struct fault *fault)
{
    const struct sensor *sensor = meter->state;
    double step = 0;
    *watts = 1e-6; /* µW, and mV x mA, alike */
    for (size_t i = 0; i < sensor->files; i++) {
        int64_t value;
        if (!meter_number(sensor->file[i], &value, fault))
            return 0;
        *watts *= (double)value;
        step += (double)llabs(value);
    }
    /* A last digit of volts or amperes moves the product by the other. */
    if (sensor->files > 1)
        meter->resolution = 1e-6 * step;
    return 1;
}

static void close_sensor(struct meter *meter)
{
    struct sensor *sensor = meter->state;
    for (size_t i = 0; i < sensor->files; i++)
        free(sensor->file[i]);
    free(sensor);
}

const struct meter_kind METER_HWMON = {
    .name = "hwmon", .open = open_sensor, .read = read_sensor, .close = close_sensor};
