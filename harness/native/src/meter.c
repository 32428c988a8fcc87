#include "meter.h"

#include <string.h>

static const struct meter_kind *const KINDS[] = {&METER_COMMAND, &METER_HWMON, &METER_POWER_SUPPLY, &METER_POWERCAP};

static int unreadable(struct fault *fault)
{
    /* A reason with a remedy of its own says all. */
    if (*fault->remedy)
        return 0;
    fail(fault, FAULT_METER, "the meter cannot be read: %s", fault->message);
    return advise(fault, METER_REMEDY);
}

int meter_open(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    double value;
    *meter = (struct meter){.resolution = 1e-6};
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i]->name, spec->kind) == 0)
            meter->kind = KINDS[i];
    if (meter->kind == NULL)
        return fail(fault, FAULT_METER,
                    "the native runner reads no meter of kind %s; command, hwmon, power_supply and powercap are known",
                    spec->kind);
    if (!meter->kind->open(meter, spec, fault))
        return unreadable(fault);
    int charging = meter_charging(meter, fault);
    return charging == 0 ? meter_read(meter, &value, fault) : charging > 0;
}

int meter_read(struct meter *meter, double *value, struct fault *fault)
{
    return meter->kind->read(meter, value, fault) || unreadable(fault);
}

int meter_charging(const struct meter *meter, struct fault *fault)
{
    return meter->kind->charging ? meter->kind->charging(meter, fault) : 0;
}

void meter_close(struct meter *meter)
{
    if (meter->kind && meter->state)
        meter->kind->close(meter);
    meter->state = NULL;
}

void meter_refusal(struct text *answer, const struct fault *fault)
{
    text_clear(answer);
    text_add(answer, "{\"refused\": ");
    text_string(answer, fault->message);
    /* Of a meter that cannot be read the host names the file that is to be corrected. */
    if (*fault->remedy && strcmp(fault->remedy, METER_REMEDY) != 0) {
        text_add(answer, ", \"remedy\": ");
        text_string(answer, fault->remedy);
    }
    text_add(answer, "}");
}
