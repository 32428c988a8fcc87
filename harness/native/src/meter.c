#include "meter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct meter_kind *const KINDS[] = {&METER_COMMAND, &METER_HWMON, &METER_POWER_SUPPLY, &METER_POWERCAP};

static int unreadable(struct fault *fault)
{
    return fail(fault, "meter", "the meter cannot be read: %s; look at [meter] in the device's file", fault->message);
}

int meter_open(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    double value;
    *meter = (struct meter){.resolution = 1e-6};
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i]->name, spec->kind) == 0)
            meter->kind = KINDS[i];
    if (meter->kind == NULL)
        return fail(fault, "meter",
                    "the native runner reads no meter of kind %s; command, hwmon, power_supply and powercap are known",
                    spec->kind);
    return meter->kind->open(meter, spec, fault) ? meter_read(meter, &value, fault) : unreadable(fault);
}

int meter_read(struct meter *meter, double *value, struct fault *fault)
{
    return meter->kind->read(meter, value, fault) || unreadable(fault);
}

int meter_charging(const struct meter *meter)
{
    return meter->kind->charging && meter->kind->charging(meter);
}

void meter_close(struct meter *meter)
{
    if (meter->kind && meter->state)
        meter->kind->close(meter);
    meter->state = NULL;
}

int meter_number(const char *path, int64_t *value, struct fault *fault)
{
    char *text = file_text(path), *behind;
    if (text == NULL)
        return fail(fault, "meter", "[Errno %d] %s: '%s'", errno, strerror(errno), path);
    errno = 0;
    *value = strtoll(text, &behind, 10);
    int known = behind != text && behind[strspn(behind, " \t\r\n")] == 0 && errno == 0;
    if (!known) {
        struct text shown = {0};
        meter_quote(&shown, text);
        fail(fault, "meter", "invalid literal for int() with base 10: %s", shown.data);
        text_free(&shown);
    }
    free(text);
    return known;
}

void meter_quote(struct text *target, const char *said)
{
    char quote = strchr(said, '\'') && !strchr(said, '"') ? '"' : '\'';
    text_bytes(target, &quote, 1);
    for (const char *at = said; *at; at++) {
        static const char controls[] = "\n\r\t", letters[] = "nrt";
        const char *control = strchr(controls, *at);
        if (control)
            text_add(target, "\\%c", letters[control - controls]);
        else if (*at == quote || *at == '\\')
            text_add(target, "\\%c", *at);
        else if ((unsigned char)*at < ' ' || *at == 0x7F)
            text_add(target, "\\x%02x", (unsigned)*at);
        else
            text_bytes(target, at, 1);
    }
    text_bytes(target, &quote, 1);
}
