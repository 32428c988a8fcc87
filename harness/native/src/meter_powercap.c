/* kind = "powercap": the energy counters of all processor packages, each unwrapped at max_energy_range_uj. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter_kind.h"

#define ROOT "/sys/class/powercap"

struct counter {
    char *path;
    int64_t range, last, turns;
};

struct counters {
    struct counter *counter;
    size_t count;
};

static int add_counter(struct counters *counters, const char *folder, struct fault *fault)
{
    counters->counter = need_again(counters->counter, (counters->count + 1) * sizeof *counters->counter);
    struct counter *counter = &counters->counter[counters->count++];
    *counter = (struct counter){.path = formatted("%s/energy_uj", folder)};
    char *limit = formatted("%s/max_energy_range_uj", folder);
    int good = access(limit, F_OK) != 0 || meter_number(limit, &counter->range, fault);
    free(limit);
    good = good && meter_number(counter->path, &counter->last, fault);
    if (!good && access(counter->path, F_OK) == 0 && access(counter->path, R_OK) != 0) {
        fail(fault, FAULT_METER, "%s is readable by root only", counter->path);
        advise(fault,
               "sudo chmod o+r %s until the next start; for good the udev rule SUBSYSTEM==\"powercap\", "
               "ACTION==\"add\", RUN+=\"/bin/chmod o+r /sys%%p/energy_uj\" in /etc/udev/rules.d/70-powercap.rules",
               counter->path);
    }
    return good;
}

/* Whether a zone is a processor package: not a part of one, which it holds, nor the whole platform. */
static int is_package(const char *folder)
{
    char *path = formatted("%s/name", folder), *name = file_word(path);
    const char *zone = strrchr(folder, '/');
    int found = strchr(zone, ':') == strrchr(zone, ':') && strncmp(name, "package-", 8) == 0;
    free(path), free(name);
    return found;
}

static int open_counters(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    struct counters *counters = need(sizeof *counters);
    *counters = (struct counters){0};
    meter->state = counters;
    if (*spec->path)
        return add_counter(counters, spec->path, fault);
    glob_t zones = {0};
    int good = 1;
    glob(ROOT "/intel-rapl:*", 0, NULL, &zones);
    for (size_t i = 0; good && i < zones.gl_pathc; i++)
        good = !is_package(zones.gl_pathv[i]) || add_counter(counters, zones.gl_pathv[i], fault);
    globfree(&zones);
    if (good && counters->count == 0)
        return fail(fault, FAULT_METER, "no processor package under " ROOT " counts its energy; use another meter");
    return good;
}

static int read_counter(struct counter *counter, int64_t *microjoules, struct fault *fault)
{
    int64_t now;
    if (!meter_number(counter->path, &now, fault))
        return 0;
    if (now < counter->last && counter->range == 0)
        return fail(fault, FAULT_METER, "%s went backwards and max_energy_range_uj does not say where it turns",
                    counter->path);
    counter->turns += now < counter->last;
    counter->last = now;
    *microjoules += now + counter->turns * counter->range;
    return 1;
}

static int read_counters(struct meter *meter, double *joules, struct fault *fault)
{
    struct counters *counters = meter->state;
    int64_t sum = 0;
    for (size_t i = 0; i < counters->count; i++)
        if (!read_counter(&counters->counter[i], &sum, fault))
            return 0;
    *joules = (double)sum * 1e-6;
    return 1;
}

static void close_counters(struct meter *meter)
{
    struct counters *counters = meter->state;
    for (size_t i = 0; i < counters->count; i++)
        free(counters->counter[i].path);
    free(counters->counter);
    free(counters);
}

const struct meter_kind METER_POWERCAP = {
    .name = "powercap", .counts_joules = 1, .open = open_counters, .read = read_counters, .close = close_counters};
