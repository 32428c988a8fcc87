/* kind = "powercap": the processor package's energy counter, unwrapped at max_energy_range_uj. */
#include <stdlib.h>
#include <unistd.h>

#include "meter_kind.h"

struct counter {
    char *path;
    int64_t range, last, turns;
};

static int open_counter(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    const char *folder = *spec->path ? spec->path : "/sys/class/powercap/intel-rapl:0";
    struct counter *counter = need(sizeof *counter);
    *counter = (struct counter){.path = formatted("%s/energy_uj", folder)};
    meter->state = counter;
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

static int read_counter(struct meter *meter, double *joules, struct fault *fault)
{
    struct counter *counter = meter->state;
    int64_t now;
    if (!meter_number(counter->path, &now, fault))
        return 0;
    if (now < counter->last && counter->range == 0)
        return fail(fault, FAULT_METER, "%s went backwards and max_energy_range_uj does not say where it turns",
                    counter->path);
    counter->turns += now < counter->last;
    counter->last = now;
    *joules = (double)(now + counter->turns * counter->range) * 1e-6;
    return 1;
}

static void close_counter(struct meter *meter)
{
    struct counter *counter = meter->state;
    free(counter->path);
    free(counter);
}

const struct meter_kind METER_POWERCAP = {
    .name = "powercap", .counts_joules = 1, .open = open_counter, .read = read_counter, .close = close_counter};
