#include "window.h"

#include <stdlib.h>

#include "clock.h"

int window_take(struct window *window, struct meter *meter, struct fault *fault)
{
    double value;
    int64_t asked = now_ns();
    if (!meter_read(meter, &value, fault))
        return 0;
    window->at_ns = need_again(window->at_ns, (window->count + 1) * sizeof *window->at_ns);
    window->reading = need_again(window->reading, (window->count + 1) * sizeof *window->reading);
    /* A slow reading belongs to the middle of the time that it took. */
    window->at_ns[window->count] = asked + (now_ns() - asked) / 2;
    window->reading[window->count++] = value;
    int charging = meter_charging(meter, fault);
    if (charging > 0)
        return fail(fault, FAULT_METER, "the battery began to charge during the window; unplug it");
    return charging == 0;
}

void window_describe(const struct window *window, struct text *fields)
{
    text_add(fields, "\"at_ns\": [");
    for (size_t i = 0; i < window->count; i++)
        text_add(fields, i ? ", %lld" : "%lld", (long long)window->at_ns[i]);
    text_add(fields, "], \"readings\": [");
    for (size_t i = 0; i < window->count; i++)
        text_add(fields, i ? ", %.17g" : "%.17g", window->reading[i]);
    text_add(fields, "]");
}

void window_free(struct window *window)
{
    free(window->at_ns);
    free(window->reading);
    *window = (struct window){0};
}
