#include "energy.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "meter.h"

/* A window shorter than this, or with fewer changes of the meter, gives no number (METHOD, phase 8). */
static const double MIN_WINDOW_S = 10.0;
enum { MIN_UPDATES = 50, PERIOD_MS = 50, TENTHS = 10 };

struct sample {
    double at_s, value;
};

struct window {
    struct sample *sample;
    size_t count;
    int updates;
    double seconds;
};

static int take(struct window *window, struct meter *meter, struct fault *fault)
{
    struct sample now = {(double)now_ns() * 1e-9, 0};
    if (!meter_read(meter, &now.value, fault))
        return 0;
    window->sample = need_again(window->sample, (window->count + 1) * sizeof *window->sample);
    window->updates += window->count > 0 && window->sample[window->count - 1].value != now.value;
    window->sample[window->count++] = now;
    window->seconds = now.at_s - window->sample[0].at_s;
    if (meter_charging(meter))
        return fail(fault, "meter", "the battery began to charge during the window; unplug it");
    return 1;
}

/* Samples until `seconds` have passed (process NULL) or the process has an answer. */
static int watch(struct window *window, struct meter *meter, struct process *process, double seconds,
                 struct fault *fault)
{
    int64_t end = now_ns() + (int64_t)(seconds * 1e9);
    for (;;) {
        struct pollfd ready = {.fd = process ? process->answers : -1, .events = POLLIN};
        if (!take(window, meter, fault))
            return 0;
        int answered = poll(&ready, 1, PERIOD_MS) > 0;
        if (answered || (process == NULL && now_ns() >= end))
            return take(window, meter, fault);
    }
}

/* The joules between two samples. */
static double part(const struct window *window, const struct meter *meter, size_t i)
{
    const struct sample *a = &window->sample[i], *b = &window->sample[i + 1];
    return meter->counts_joules ? b->value - a->value : (a->value + b->value) / 2 * (b->at_s - a->at_s);
}

/* Adds joules, seconds, updates, and the mean power of ten equal runs of samples, none left out: the spread that the
 * interval carries. */
static void describe(const struct window *window, const struct meter *meter, const char *name, struct text *fields)
{
    size_t parts = window->count - 1;
    double joules = 0;
    for (size_t i = 0; i < parts; i++)
        joules += part(window, meter, i);
    text_add(fields, "\"%s\": {\"joules\": %.17g, \"seconds\": %.17g, \"updates\": %d, \"watts\": [", name, joules,
             window->seconds, window->updates);
    for (size_t tenth = 0, any = 0; tenth < TENTHS; tenth++) {
        size_t from = (tenth * parts + TENTHS / 2) / TENTHS, to = ((tenth + 1) * parts + TENTHS / 2) / TENTHS;
        double sum = 0, seconds = window->sample[to].at_s - window->sample[from].at_s;
        for (size_t i = from; i < to; i++)
            sum += part(window, meter, i);
        if (seconds > 0)
            text_add(fields, any++ ? ", %.17g" : "%.17g", sum / seconds);
    }
    text_add(fields, "]}");
}

static int judge(const struct window *windows, struct fault *fault)
{
    const struct window *busy = &windows[1];
    if (windows[0].updates + busy->updates + windows[2].updates == 0)
        return fail(fault, "meter", "the meter never changed: it is broken or not connected");
    if (busy->seconds < MIN_WINDOW_S || busy->updates < MIN_UPDATES)
        return fail(fault, "meter",
                    "the window was too short: %.1f s with %d meter updates; %.0f s and %d updates are needed",
                    busy->seconds, busy->updates, MIN_WINDOW_S, MIN_UPDATES);
    return 1;
}

/* Watches the three windows. The kind of `fault` is "meter" where the meter is to blame. */
static int watch_all(struct conductor *conductor, struct process *process, struct meter *meter, struct window *windows,
                     struct fault *fault)
{
    double seconds = conductor->job.plan.energy_s;
    char *wanted = formatted(", \"duration_s\": %.9g", seconds);
    int good = watch(&windows[0], meter, NULL, seconds, fault) && process_request(process, fault, "spin", wanted) &&
               watch(&windows[1], meter, process, seconds, fault) && process_wait(process, fault, "spin") &&
               watch(&windows[2], meter, NULL, seconds, fault) && judge(windows, fault);
    free(wanted);
    return good;
}

int energy_measure(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    static const char *const names[] = {"idle_before", "busy", "idle_after"};
    struct meter meter;
    struct window windows[3] = {0};
    if (!process_do(process, fault, "load") ||
        !process_ask(process, fault, "warm", ", \"max_s\": %.9g", conductor->job.plan.warmup_s))
        return 0;
    int good = meter_open(&meter, &conductor->job.meter, fault);
    if (good && meter_charging(&meter))
        good = fail(fault, "meter", "the battery is charging, which hides what the device draws; unplug it");
    good = good && watch_all(conductor, process, &meter, windows, fault);
    if (good) {
        text_add(fields, ", \"windows\": {");
        for (int i = 0; i < 3; i++) {
            text_add(fields, i ? ", " : "");
            describe(&windows[i], &meter, names[i], fields);
        }
        text_add(fields, "}, \"inferences\": %.0f, \"resolution\": %.17g", process_number(process, "count"),
                 meter.resolution);
    } else if (strcmp(fault->kind, "meter") == 0) {
        text_add(fields, ", \"absent\": ");
        text_string(fields, fault->message);
        good = 1;
    }
    for (int i = 0; i < 3; i++)
        free(windows[i].sample);
    free(meter.folder);
    return good;
}
