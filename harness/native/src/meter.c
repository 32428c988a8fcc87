#include "meter.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A whole number in a file of the meter's folder. */
static int number_in(const struct meter *meter, const char *name, int64_t *value)
{
    char *path = formatted("%s/%s", meter->folder, name), *word = file_word(path), *behind;
    *value = strtoll(word, &behind, 10);
    int known = behind != word;
    free(path);
    free(word);
    return known;
}

static char *first_battery(void)
{
    glob_t supplies;
    char *found = NULL;
    if (glob("/sys/class/power_supply/*", 0, NULL, &supplies) != 0)
        return NULL;
    for (size_t i = 0; i < supplies.gl_pathc && !found; i++) {
        char *path = formatted("%s/type", supplies.gl_pathv[i]), *kind = file_word(path);
        if (strcmp(kind, "Battery") == 0)
            found = copy_of(supplies.gl_pathv[i]);
        free(path);
        free(kind);
    }
    globfree(&supplies);
    return found;
}

int meter_open(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    double value;
    *meter = (struct meter){.resolution = 1e-6, .counts_joules = strcmp(spec->kind, "powercap") == 0};
    if (!meter->counts_joules && strcmp(spec->kind, "power_supply") != 0)
        return fail(fault, "meter", "the native runner reads no meter of kind %s; powercap and power_supply are known",
                    spec->kind);
    if (spec->path)
        meter->folder = copy_of(spec->path);
    else
        meter->folder = meter->counts_joules ? copy_of("/sys/class/powercap/intel-rapl:0") : first_battery();
    if (meter->folder == NULL)
        return fail(fault, "meter", "no battery under /sys/class/power_supply; set path under [meter]");
    if (meter->counts_joules) {
        number_in(meter, "max_energy_range_uj", &meter->range);
        number_in(meter, "energy_uj", &meter->last);
    }
    return meter_read(meter, &value, fault);
}

int meter_read(struct meter *meter, double *value, struct fault *fault)
{
    int64_t now, volts;
    if (meter->counts_joules && number_in(meter, "energy_uj", &now)) {
        meter->turns += now < meter->last;
        meter->last = now;
        *value = (double)(now + meter->turns * meter->range) * 1e-6;
        return 1;
    }
    /* The sign of power and current differs between drivers. */
    if (!meter->counts_joules && number_in(meter, "power_now", &now))
        *value = llabs(now) * 1e-6;
    else if (!meter->counts_joules && number_in(meter, "voltage_now", &volts) && number_in(meter, "current_now", &now))
        *value = (double)volts * 1e-6 * (double)llabs(now) * 1e-6;
    else
        return fail(fault, "meter", "the meter cannot be read: %s: %s", meter->folder,
                    access(meter->folder, F_OK) ? strerror(errno) : "no such values in it");
    return 1;
}

int meter_charging(const struct meter *meter)
{
    char *path = formatted("%s/status", meter->folder), *status = file_word(path);
    int charging = !meter->counts_joules && (strcmp(status, "Charging") == 0 || strcmp(status, "Full") == 0);
    free(path);
    free(status);
    return charging;
}
