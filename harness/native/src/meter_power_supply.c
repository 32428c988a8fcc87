/* kind = "power_supply": a battery's power_now, or voltage_now x current_now; a charge counter is not joules. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter_kind.h"

/* What a machine that is awake may draw. Some drivers count in mA, or in steps of their own, against the rules of the
 * kernel: 2.6 A at 3.8 V, given in mA, would pass for 0.0099 W. */
static const double LEAST_W = 0.01, MOST_W = 200.0;

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

static int open_battery(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    char *folder = *spec->path ? copy_of(spec->path) : first_battery();
    meter->state = folder;
    return folder ? 1 : fail(fault, FAULT_METER, "no battery under /sys/class/power_supply; set path under [meter]");
}

static int number_in(const char *folder, const char *name, int64_t *value, struct fault *fault)
{
    char *path = formatted("%s/%s", folder, name);
    int known = meter_number(path, value, fault);
    free(path);
    return known;
}

static int plausible(double watts, const char *source, const char *folder, struct fault *fault)
{
    if (watts >= LEAST_W && watts <= MOST_W)
        return 1;
    return fail(fault, FAULT_METER,
                "%s in %s is %.3g W, which no device in use draws: it is not in micro-units, "
                "or nothing is drawn from the battery",
                source, folder, watts);
}

/* The sign of power and current differs between drivers. */
static int read_battery(struct meter *meter, double *watts, struct fault *fault)
{
    const char *folder = meter->state;
    char *power = formatted("%s/power_now", folder);
    int direct = access(power, F_OK) == 0;
    int64_t now, volts;
    free(power);
    if (direct) {
        if (!number_in(folder, "power_now", &now, fault))
            return 0;
        *watts = (double)llabs(now) * 1e-6;
        return plausible(*watts, "power_now", folder, fault);
    }
    if (!number_in(folder, "voltage_now", &volts, fault) || !number_in(folder, "current_now", &now, fault))
        return 0;
    *watts = (double)volts * 1e-6 * ((double)llabs(now) * 1e-6);
    return plausible(*watts, "voltage_now x current_now", folder, fault);
}

static int battery_charges(const struct meter *meter)
{
    char *path = formatted("%s/status", (const char *)meter->state), *status = file_word(path);
    int charging = strcmp(status, "Charging") == 0 || strcmp(status, "Full") == 0;
    free(path);
    free(status);
    return charging;
}

static void close_battery(struct meter *meter)
{
    free(meter->state);
}

const struct meter_kind METER_POWER_SUPPLY = {.name = "power_supply",
                                              .open = open_battery,
                                              .read = read_battery,
                                              .charging = battery_charges,
                                              .close = close_battery};
