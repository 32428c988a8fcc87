#include "supplies.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

char *supply_word(const char *folder, const char *name)
{
    char *path = formatted("%s/%s", folder, name), *word = file_word(path);
    free(path);
    return word;
}

int supply_says(const char *folder, const char *name, const char *word)
{
    char *said = supply_word(folder, name);
    int same = strcmp(said, word) == 0;
    free(said);
    return same;
}

int supply_number(const char *folder, const char *name, double low, double high, double *value)
{
    char *said = supply_word(folder, name);
    int known = system_number_of(said, low, high, value);
    free(said);
    return known;
}

static int is_battery(const char *folder)
{
    return supply_says(folder, "type", "Battery") && !supply_says(folder, "present", "0");
}

static int is_feeding(const char *folder)
{
    double online = 0;
    int battery = supply_says(folder, "type", "Battery") || supply_says(folder, "type", "UPS");
    if (battery || supply_says(folder, "type", ""))
        return 0;
    return supply_number(folder, "online", 0, 10, &online) && online > 0;
}

/* The supplies of the machine, not of a mouse or a pen, for which `belongs` holds. */
static struct supplies chosen(const char *root, int (*belongs)(const char *))
{
    struct supplies found = {0};
    glob_t places;
    char *pattern = formatted("%s/*", root);
    int any = glob(pattern, 0, NULL, &places) == 0;
    free(pattern);
    for (size_t i = 0; any && i < places.gl_pathc; i++) {
        const char *place = places.gl_pathv[i];
        if (supply_says(place, "scope", "Device") || !belongs(place))
            continue;
        found.folder = need_again(found.folder, (found.count + 1) * sizeof *found.folder);
        found.folder[found.count++] = copy_of(place);
    }
    if (any)
        globfree(&places);
    return found;
}

struct supplies supplies_batteries(const char *root)
{
    return chosen(root, is_battery);
}

struct supplies supplies_feeding(const char *root)
{
    return chosen(root, is_feeding);
}

void supplies_free(struct supplies *supplies)
{
    for (size_t i = 0; i < supplies->count; i++)
        free(supplies->folder[i]);
    free(supplies->folder);
    *supplies = (struct supplies){0};
}

/* The charge of those that say it, each counted by the capacity that `name` gives; 0 where one lacks it. */
static int by_capacity(const struct supplies *found, const char *name, double *ratio)
{
    double whole = 0, charged = 0, size, charge;
    for (size_t i = 0; i < found->count; i++) {
        if (!supply_number(found->folder[i], "capacity", 0, 100, &charge))
            continue;
        if (!supply_number(found->folder[i], name, 1, 1e12, &size))
            return 0;
        whole += size;
        charged += size * charge / 100;
    }
    *ratio = whole > 0 ? charged / whole : 0;
    return whole > 0;
}

/* The charge of the emptiest: what is used where a battery does not say its capacity, for a limit is to hold. */
static int emptiest(const struct supplies *found, double *ratio)
{
    double charge;
    int any = 0;
    for (size_t i = 0; i < found->count; i++)
        if (supply_number(found->folder[i], "capacity", 0, 100, &charge) && (!any || charge / 100 < *ratio)) {
            *ratio = charge / 100;
            any = 1;
        }
    return any;
}

int supplies_charge(struct text *fields)
{
    struct supplies found = supplies_batteries(SUPPLIES), outside = supplies_feeding(SUPPLIES);
    int charging = outside.count > 0, any = found.count > 0;
    double ratio;
    for (size_t i = 0; i < found.count; i++)
        charging = charging || supply_says(found.folder[i], "status", "Charging") ||
                   supply_says(found.folder[i], "status", "Full");
    if (any && (by_capacity(&found, "energy_full", &ratio) || by_capacity(&found, "charge_full", &ratio) ||
                emptiest(&found, &ratio)))
        text_add(fields, ", \"battery_ratio\": %.10g", ratio);
    if (any)
        text_add(fields, ", \"charging\": %s", charging ? "true" : "false");
    supplies_free(&found);
    supplies_free(&outside);
    return any;
}

const char *supply_name(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    return slash ? slash + 1 : folder;
}

/* Leaves the battery that has the name; 0 with `fault` naming those that are there. */
static int keep(struct supplies *supplies, const char *name, struct fault *fault)
{
    struct text there = {0};
    char *kept = NULL;
    for (size_t i = 0; i < supplies->count; i++) {
        text_add(&there, "%s%s", i ? ", " : "", supply_name(supplies->folder[i]));
        if (strcmp(supply_name(supplies->folder[i]), name) == 0)
            kept = copy_of(supplies->folder[i]);
    }
    if (kept == NULL)
        fail(fault, FAULT_METER, "the device has no battery called '%s'; there is: %s", name, there.data);
    supplies_free(supplies);
    if (kept) {
        *supplies = (struct supplies){.folder = need(sizeof kept), .count = 1};
        supplies->folder[0] = kept;
    }
    text_free(&there);
    return kept != NULL;
}

/* The batteries that are meant; 0 with `fault` where there is none. */
int supplies_meant(struct supplies *supplies, const char *path, const char *name, struct fault *fault)
{
    if (*path && *name)
        return fail(fault, FAULT_METER, "path and supply name one battery twice; leave one");
    if (*path) {
        DIR *folder = opendir(path);
        if (folder == NULL)
            return fail(fault, FAULT_METER, "%s: %s", path, strerror(errno));
        closedir(folder);
        *supplies = (struct supplies){.folder = need(sizeof(char *)), .count = 1};
        supplies->folder[0] = copy_of(path);
        return 1;
    }
    *supplies = supplies_batteries(SUPPLIES);
    if (supplies->count == 0)
        return fail(fault, FAULT_METER, "the device has no battery of its own under " SUPPLIES "; use another meter");
    return *name == 0 || keep(supplies, name, fault);
}
