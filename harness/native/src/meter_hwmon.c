/* kind = "hwmon": a power sensor of the kernel, in µW, or volts times amperes, in mV x mA; both read as watts. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hwmon_terms.h"
#include "meter_kind.h"

#define ROOT "/sys/class/hwmon"

/* Adds the folder if it has all channels. */
static void try_folder(char *folder, const struct sensor *wanted, char *const *labels, char ***found, size_t *founds)
{
    int good = 1;
    for (size_t i = 0; labels[i]; i++) {
        struct term term = hwmon_labelled(folder, labels[i]);
        for (size_t file = 0; file < term.files; file++)
            good = good && hwmon_is_file(folder, term.name[file]);
        good = good && term.files;
    }
    for (size_t i = 0; i < wanted->terms; i++)
        for (size_t file = 0; file < wanted->term[i].files; file++)
            good = good && hwmon_is_file(folder, wanted->term[i].name[file]);
    if (!good) {
        free(folder);
        return;
    }
    *found = need_again(*found, (*founds + 1) * sizeof **found);
    (*found)[(*founds)++] = folder;
}

/* The address on its bus of the chip with a folder, a new string; "" where it has none. */
static char *address_of(const char *folder)
{
    struct stat facts;
    size_t length = strlen(folder);
    int below = length > 7 && strcmp(folder + length - 7, "/device") == 0;
    char *device = below ? copy_of(folder) : formatted("%s/device", folder);
    char *real = lstat(device, &facts) == 0 && S_ISLNK(facts.st_mode) ? realpath(device, NULL) : NULL;
    char *address = copy_of(real ? strrchr(real, '/') + 1 : "");
    free(device), free(real);
    return address;
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
    {
        char *address = address_of(found[i]);
        text_add(&several, "%s%s", i ? ", " : "", *address ? address : found[i]);
        free(address);
    }
    if (founds)
        fail(fault, FAULT_METER, "several chips have %s: %s; set chip to one of these", channels, several.data);
    else
        fail(fault, FAULT_METER, "%s has no %s; set chip and channel under [meter]",
             *wanted ? wanted : "any chip under " ROOT, channels);
    text_free(&several);
    return 0;
}

/* Adds the place, or the folder one further down where drivers written before 2013 keep their channels. */
static void try_place(const char *place, const struct sensor *wanted, char *const *labels, char ***found,
                      size_t *founds)
{
    try_folder(copy_of(place), wanted, labels, found, founds);
    try_folder(formatted("%s/device", place), wanted, labels, found, founds);
}

/* The part of a path that is a place of sysfs whose number is given out anew at each start of the device, a new string;
 * NULL where none is. */
static char *numbered(const char *path)
{
    char *found = NULL;
    for (const char *at = strstr(path, "/hwmon"); at && strncmp(path, "/sys/", 5) == 0; at = strstr(at + 1, "/hwmon")) {
        size_t digits = strspn(at + 6, "0123456789");
        if (digits && (at[6 + digits] == 0 || at[6 + digits] == '/')) {
            free(found);
            found = formatted("%.*s", (int)(at - path + 6 + (ptrdiff_t)digits), path);
        }
    }
    return found;
}

/* What a chip is called after every start, a new string: its address, else its name if no other has it, else "". */
static char *lasting(const char *place)
{
    char *address = address_of(place), *name = name_of(place);
    glob_t places = {0};
    size_t alike = 0;
    if (*address) {
        free(name);
        return address;
    }
    glob(ROOT "/*", 0, NULL, &places);
    for (size_t i = 0; i < places.gl_pathc; i++) {
        char *other = name_of(places.gl_pathv[i]);
        alike += strcmp(other, name) == 0;
        free(other);
    }
    globfree(&places);
    free(address);
    if (alike != 1)
        *name = 0;
    return name;
}

/* Whether a chip is called so: by its driver's name, its address on the bus or its label. */
static int is_called(const char *place, const char *wanted)
{
    char *path = formatted("%s/label", place), *label = file_word(path), *name = name_of(place);
    char *address = address_of(place);
    int called = strcmp(name, wanted) == 0 || strcmp(address, wanted) == 0 || strcmp(label, wanted) == 0;
    free(path), free(label), free(name), free(address);
    return called;
}

/* The folders with all channels among the places that are meant; 0 with `fault` where no chip has the name. */
static int look(const char *wanted, const struct sensor *sensor, char *const *labels, char ***found, size_t *founds,
                struct fault *fault)
{
    glob_t places = {0};
    int meant = *wanted == 0;
    if (strchr(wanted, '/')) {
        char *place = numbered(wanted), *better = place ? lasting(place) : copy_of("");
        int refused = *better != 0;
        if (refused)
            fail(fault, FAULT_METER,
                 "the number in %s may be another chip's after a start of the device; write chip = \"%s\"", wanted,
                 better);
        free(place), free(better);
        if (refused)
            return 0;
        try_place(wanted, sensor, labels, found, founds);
        return 1;
    }
    glob(ROOT "/*", 0, NULL, &places);
    for (size_t i = 0; i < places.gl_pathc; i++) {
        int this = *wanted == 0 || is_called(places.gl_pathv[i], wanted);
        if (this)
            try_place(places.gl_pathv[i], sensor, labels, found, founds);
        meant = meant || this;
    }
    int good = meant || no_such_chip(wanted, &places, fault);
    globfree(&places);
    return good;
}

/* What a chip must have, for a person; a new string. */
static char *shown(const struct sensor *sensor, char *const *labels)
{
    struct text text = {0};
    for (size_t i = 0; labels[i]; i++)
        text_add(&text, "%schannel with the label \"%s\"", i ? " and " : "", labels[i]);
    for (size_t i = 0; i < sensor->terms; i++)
        for (size_t file = 0; file < sensor->term[i].files; file++)
            text_add(&text, "%s%s", text.size ? " and " : "", sensor->term[i].name[file]);
    return text.data;
}

static int open_sensor(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    char **found = NULL;
    size_t founds = 0;
    struct sensor *sensor = need(sizeof *sensor);
    *sensor = (struct sensor){0};
    meter->state = sensor;
    if (*spec->channel && *spec->labels)
        return fail(fault, FAULT_METER, "channel and labels say the same twice; leave one");
    if (*spec->labels == NULL && !hwmon_terms_of(spec->channel, sensor, fault))
        return 0;
    int good = look(spec->chip, sensor, spec->labels, &found, &founds, fault);
    if (good && founds != 1) {
        char *all = shown(sensor, spec->labels);
        good = not_one(spec->chip, all, found, founds, fault);
        free(all);
    }
    if (good)
        sensor->folder = copy_of(found[0]);
    for (size_t i = 0; good && spec->labels[i]; i++)
        hwmon_add_term(sensor, hwmon_labelled(sensor->folder, spec->labels[i]));
    for (size_t i = 0; i < founds; i++)
        free(found[i]);
    free(found);
    return good;
}

static int read_term(const char *folder, const struct term *term, double *watts, double *step, struct fault *fault)
{
    *watts = 1e-6; /* µW, and mV x mA, alike */
    *step = 0;
    for (size_t i = 0; i < term->files; i++) {
        int64_t value;
        char *path = formatted("%s/%s", folder, term->name[i]);
        int known = meter_number(path, &value, fault);
        free(path);
        if (!known)
            return 0;
        *watts *= (double)value;
        /* A last digit of volts or amperes moves the product by the other. */
        *step += 1e-6 * (double)llabs(value);
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
        if (!read_term(sensor->folder, &sensor->term[i], &one, &step, fault))
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
    free(sensor->folder);
    free(sensor->term);
    free(sensor);
}

const struct meter_kind METER_HWMON = {
    .name = "hwmon", .open = open_sensor, .read = read_sensor, .close = close_sensor};
