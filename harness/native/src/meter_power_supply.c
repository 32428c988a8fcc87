/* kind = "power_supply": the watts that the machine's own batteries give, where they alone feed it. The rules, and why
 * they are so, stand in harness/agent/meters/power_supply.py; a charge counter is not joules. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter_kind.h"
#include "supplies.h"
#include "system.h"

#define UNPLUG "unplug it (a phone: connect it by Wi-Fi), or put a meter into its supply"

/* What a machine that is awake may draw, in W; the volts of its battery; and how long that may last, in hours. */
static const double LEAST_W = 0.1, MOST_W = 200.0, LEAST_V = 1.0, MOST_V = 100.0, LEAST_H = 0.25, MOST_H = 200.0;
/* Capacities in uWh and uAh; what lies outside is in another unit, and not used. */
static const double LEAST_UWH = 5e5, MOST_UWH = 5e8, LEAST_UAH = 1.5e5, MOST_UAH = 1e8, MOST_RAW = 1e15;
static const char *const PREFIX[] = {"u", "m", ""};
static const double SCALE[] = {1e-6, 1e-3, 1.0};
enum { UNITS = 3 };

struct battery {
    const char *folder;
    int direct;   /* power_now, not volts times amperes */
    double scale; /* of power or current; 0 until it is known */
    double sign;  /* of what is drawn: a reading that was not 0 */
};

struct pack {
    struct supplies supplies;
    struct battery *battery;
    char *room, *voltage_unit;
};

static int within(double value, double low, double high)
{
    return value >= low && value <= high;
}

static const char *key_of(const struct battery *battery)
{
    return battery->direct ? "power" : "current";
}

/* The place of a declared unit such as "mA" in SCALE; UNITS where nothing is declared, -1 for what is no unit. */
static int declared(const char *said, const char *key, char unit, struct fault *fault)
{
    if (*said == 0)
        return UNITS;
    for (int i = 0; i < UNITS; i++) {
        size_t length = strlen(PREFIX[i]);
        if (strncmp(said, PREFIX[i], length) == 0 && said[length] == unit && said[length + 1] == 0)
            return i;
    }
    fail(fault, FAULT_METER, "%s_unit is \"u%c\", \"m%c\" or \"%c\", not '%s'", key, unit, unit, unit, said);
    return -1;
}

static int drawn(const struct battery *battery, double *raw, struct fault *fault)
{
    return meter_reading(battery->folder, battery->direct ? "power_now" : "current_now", MOST_RAW, raw, fault);
}

/* Adds to the fault the line to write: the unit that fits, or those that may. */
static int say_line(struct fault *fault, const char *key, const int *fits, char unit)
{
    struct text line = {0};
    text_add(&line, "see what its driver counts in and write ");
    for (int i = 0, said = 0; i < UNITS; i++)
        if (fits[i])
            text_add(&line, "%s%s_unit = \"%s%c\"", said++ ? " or " : "", key, PREFIX[i], unit);
    advise(fault, "%s under [meter]", line.data);
    text_free(&line);
    return 0;
}

static int volts_of(const struct battery *battery, const char *unit, double *volts, struct fault *fault)
{
    double raw;
    int fits[UNITS], any = 0;
    if (!meter_reading(battery->folder, "voltage_now", MOST_RAW, &raw, fault))
        return 0;
    for (int i = 0; i < UNITS; i++)
        any += fits[i] = within(raw * SCALE[i], LEAST_V, MOST_V);
    int said = declared(unit, "voltage", 'V', fault), used = said == UNITS ? 0 : said;
    *volts = raw * SCALE[used];
    if (fits[used])
        return 1;
    fail(fault, FAULT_METER, "voltage_now in %s is %.0f, which is no battery's voltage in %sV", battery->folder, raw,
         PREFIX[used]);
    return any ? say_line(fault, "voltage", fits, 'V') : 0;
}

/* The battery's capacity in Wh, 0 where it says none in the kernel's units. */
static double watt_hours(const struct battery *battery, double volts)
{
    double value;
    if (supply_number(battery->folder, "energy_full", LEAST_UWH, MOST_UWH, &value) ||
        supply_number(battery->folder, "energy_full_design", LEAST_UWH, MOST_UWH, &value))
        return value * 1e-6;
    if (!battery->direct && (supply_number(battery->folder, "charge_full", LEAST_UAH, MOST_UAH, &value) ||
                             supply_number(battery->folder, "charge_full_design", LEAST_UAH, MOST_UAH, &value)))
        return value * 1e-6 * volts;
    return 0;
}

/* Finds what makes A or W of a reading: 1e-6, unless another unit is as plausible or more so. */
static int find_scale(struct battery *battery, double raw, double volts, struct fault *fault)
{
    double capacity = watt_hours(battery, volts);
    int fits[UNITS], any = 0;
    char unit = battery->direct ? 'W' : 'A';
    for (int i = 0; i < UNITS; i++) {
        double watts = raw * SCALE[i] * volts;
        fits[i] = within(watts, LEAST_W, MOST_W) && (capacity <= 0 || within(capacity / watts, LEAST_H, MOST_H));
        any += fits[i];
    }
    battery->scale = fits[0] && any == 1 ? SCALE[0] : 0;
    if (battery->scale > 0)
        return 1;
    fail(fault, FAULT_METER, "%s_now in %s is %.0f, %.3g W in u%c: its unit cannot be known", key_of(battery),
         battery->folder, raw, raw * SCALE[0] * volts, unit);
    for (int i = 0; i < UNITS; i++)
        fits[i] = fits[i] || any == 0;
    return say_line(fault, key_of(battery), fits, unit);
}

static int watts_of(struct battery *battery, const char *voltage_unit, double *watts, struct fault *fault)
{
    double raw, volts = 1;
    if ((!battery->direct && !volts_of(battery, voltage_unit, &volts, fault)) || !drawn(battery, &raw, fault))
        return 0;
    *watts = 0;
    if (raw == 0)
        return 1;
    if (raw * battery->sign < 0) {
        fail(fault, FAULT_METER, "a current flows into %s: its %s_now changed its sign", supply_name(battery->folder),
             key_of(battery));
        return advise(fault, UNPLUG);
    }
    if (battery->scale <= 0 && !find_scale(battery, fabs(raw), volts, fault))
        return 0;
    battery->sign = raw;
    *watts = fabs(raw) * battery->scale * volts;
    return 1;
}

static int read_pack(struct meter *meter, double *watts, struct fault *fault)
{
    const struct pack *pack = meter->state;
    *watts = 0;
    for (size_t i = 0; i < pack->supplies.count; i++) {
        double one;
        if (!watts_of(&pack->battery[i], pack->voltage_unit, &one, fault))
            return 0;
        *watts += one;
    }
    if (within(*watts, LEAST_W, MOST_W))
        return 1;
    struct text names = {0};
    for (size_t i = 0; i < pack->supplies.count; i++)
        text_add(&names, "%s%s", i ? " and " : "", pack->supplies.folder[i]);
    fail(fault, FAULT_METER, "%s gives %.3g W, which no machine in use draws from its battery", names.data, *watts);
    text_free(&names);
    return 0;
}

/* Whether a battery gives what the machine draws, or rests while another does; 0 with `fault`. */
static int gives(const struct battery *battery, int another, struct fault *fault)
{
    double raw;
    char *status = supply_word(battery->folder, "status");
    int good = strcmp(status, "Discharging") == 0;
    if (!good && another)
        good = drawn(battery, &raw, fault) && raw == 0;
    if (!good) {
        fail(fault, FAULT_METER, "the status of %s is \"%s\", not \"Discharging\"", supply_name(battery->folder),
             status);
        advise(fault, UNPLUG);
    }
    free(status);
    return good;
}

static int any_says(const struct pack *pack, const char *status)
{
    for (size_t i = 0; i < pack->supplies.count; i++)
        if (supply_says(pack->supplies.folder[i], "status", status))
            return 1;
    return 0;
}

static int pack_charges(const struct meter *meter, struct fault *fault)
{
    const struct pack *pack = meter->state;
    int discharging = any_says(pack, "Discharging"), good = 1;
    if (any_says(pack, "Charging") || (!discharging && any_says(pack, "Full")))
        return 1;
    struct supplies outside = supplies_feeding(pack->room);
    if (outside.count) {
        fail(fault, FAULT_METER, "%s is online and feeds the device beside its battery",
             supply_name(outside.folder[0]));
        good = advise(fault, UNPLUG);
    }
    supplies_free(&outside);
    for (size_t i = 0; good && i < pack->supplies.count; i++)
        good = gives(&pack->battery[i], discharging, fault);
    return good ? 0 : -1;
}

/* power_now, where it can be read or there is nothing else. */
static int is_direct(const char *folder)
{
    double value;
    char *power = formatted("%s/power_now", folder), *current = formatted("%s/current_now", folder);
    int direct = system_number(power, -MOST_RAW, MOST_RAW, &value) ||
                 (access(power, F_OK) == 0 && access(current, F_OK) != 0);
    free(power), free(current);
    return direct;
}

static int open_pack(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    struct pack *pack = need(sizeof *pack);
    *pack = (struct pack){.voltage_unit = spec->voltage_unit};
    meter->state = pack;
    int watts = declared(spec->power_unit, "power", 'W', fault);
    int amperes = declared(spec->current_unit, "current", 'A', fault);
    if (watts < 0 || amperes < 0 || declared(spec->voltage_unit, "voltage", 'V', fault) < 0 ||
        !supplies_meant(&pack->supplies, spec->path, spec->supply, fault))
        return 0;
    char *first = copy_of(pack->supplies.folder[0]), *slash = strrchr(first, '/');
    if (slash)
        *slash = 0;
    pack->room = copy_of(strncmp(first, "/sys/", 5) == 0 ? SUPPLIES : slash ? first : ".");
    free(first);
    pack->battery = need(pack->supplies.count * sizeof *pack->battery);
    for (size_t i = 0; i < pack->supplies.count; i++) {
        int direct = is_direct(pack->supplies.folder[i]), unit = direct ? watts : amperes;
        pack->battery[i] = (struct battery){
            .folder = pack->supplies.folder[i], .direct = direct, .scale = unit == UNITS ? 0 : SCALE[unit]};
    }
    return 1;
}

static void close_pack(struct meter *meter)
{
    struct pack *pack = meter->state;
    supplies_free(&pack->supplies);
    free(pack->battery);
    free(pack->room);
    free(pack);
}

const struct meter_kind METER_POWER_SUPPLY = {.name = "power_supply",
                                              .open = open_pack,
                                              .read = read_pack,
                                              .charging = pack_charges,
                                              .close = close_pack};
