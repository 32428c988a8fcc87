#include "energy.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "window.h"

static const char *const NAMES[] = WINDOWS;
static const double SHARES[] = GAPS;
/* The windows; the model works in the middle one. */
enum { COUNT = sizeof NAMES / sizeof *NAMES, BUSY = 1 };

/* What the three windows are taken with. */
struct watch {
    struct conductor *conductor;
    struct process *process;
    struct meter meter;
    double seconds;
    struct window window[COUNT];
};

static int ask_to_spin(struct watch *watch, struct fault *fault)
{
    char *wanted = formatted(", \"duration_s\": %.9g", watch->seconds);
    int good = process_request(watch->process, fault, "spin", wanted);
    free(wanted);
    return good;
}

/* Waits for the next reading's turn; 1 when the window is over: the process has answered, or the time has passed. */
static int rest(struct watch *watch, int busy, int64_t over_ns)
{
    /* Gaps are drawn at random, so that no periodic load is always met at the same phase. */
    double chance = (double)(conductor_random(watch->conductor) >> 11) * 0x1p-53;
    int64_t gap_ms = (int64_t)(PERIOD_S * 1e3 * (SHARES[0] + (SHARES[1] - SHARES[0]) * chance));
    int64_t left_ms = (over_ns - now_ns() + 999999) / 1000000;
    struct pollfd ready = {.fd = busy ? watch->process->answers : -1, .events = POLLIN};
    int answered = poll(&ready, 1, (int)(left_ms < 0 ? 0 : left_ms < gap_ms ? left_ms : gap_ms)) > 0;
    return answered || now_ns() >= over_ns;
}

/* Reads the meter through one window. */
static int look(struct watch *watch, int number, struct fault *fault)
{
    struct window *window = &watch->window[number];
    int busy = number == BUSY;
    if (!window_take(window, &watch->meter, fault))
        return 0;
    window->begin_ns = now_ns();
    int64_t over_ns = window->begin_ns + (int64_t)((busy ? watch->process->deadline_s : watch->seconds) * 1e9);
    if (busy && !ask_to_spin(watch, fault))
        return 0;
    while (!rest(watch, busy, over_ns))
        if (!window_take(window, &watch->meter, fault))
            return 0;
    if (!window_take(window, &watch->meter, fault) || (busy && !process_wait(watch->process, fault, "spin")))
        return 0;
    /* The window ends when its work ends, not when the last reading does, which may be a slow one. */
    window->end_ns = busy ? window->begin_ns + (int64_t)process_number(watch->process, "ns") : over_ns;
    return 1;
}

/* What the samples of a window come to; power is joined by straight lines. */
static void sum_up(struct window *window, int counts_joules)
{
    const int64_t *at = window->at_ns;
    const double *reading = window->reading;
    size_t last = window->count - 1;
    for (size_t i = 0; i < last; i++) {
        window->updates += reading[i] != reading[i + 1];
        window->joules += (reading[i] + reading[i + 1]) / 2 * (double)(at[i + 1] - at[i]) * 1e-9;
    }
    if (counts_joules)
        window->joules = reading[last] - reading[0];
    window->seconds = (double)(at[last] - at[0]) * 1e-9;
}

static int judge(const struct window *windows, struct fault *fault)
{
    const struct window *busy = &windows[BUSY];
    if (windows[0].updates + busy->updates + windows[2].updates == 0)
        return fail(fault, FAULT_METER, "the meter never changed: it is broken or not connected");
    if (busy->seconds < MIN_WINDOW_S || busy->updates < MIN_UPDATES)
        return fail(fault, FAULT_METER,
                    "the window was too short: %.1f s with %d meter updates; %.0f s and %d updates are needed",
                    busy->seconds, busy->updates, MIN_WINDOW_S, MIN_UPDATES);
    if (windows[0].joules < 0 || busy->joules < 0 || windows[2].joules < 0)
        return fail(fault, FAULT_METER, "the meter counts backwards: its shunt is wired the other way round");
    return 1;
}

static int watch_all(struct watch *watch, struct fault *fault)
{
    if (meter_charging(&watch->meter, fault) > 0)
        return fail(fault, FAULT_METER, "the battery is charging, which hides what the device draws; unplug it");
    for (int i = 0; i < COUNT; i++) {
        if (!look(watch, i, fault))
            return 0;
        sum_up(&watch->window[i], watch->meter.kind->counts_joules);
    }
    return judge(watch->window, fault);
}

static void describe(const struct window *window, struct text *fields)
{
    text_add(fields, "{\"begin_ns\": %lld, \"end_ns\": %lld, ", (long long)window->begin_ns,
             (long long)window->end_ns);
    window_describe(window, fields);
    text_add(fields, ", \"joules\": %.17g, \"seconds\": %.17g, \"updates\": %d}", window->joules, window->seconds,
             window->updates);
}

static void describe_all(const struct watch *watch, struct text *fields)
{
    const struct meter_kind *kind = watch->meter.kind;
    text_add(fields, ", \"meter\": \"%s\", \"quantity\": \"%s\"", kind->name,
             kind->counts_joules ? "joules" : "watts");
    text_add(fields, ", \"resolution\": %.17g, \"inferences\": %.0f", watch->meter.resolution,
             process_number(watch->process, "count"));
    text_add(fields, ", \"windows\": {");
    for (int i = 0; i < COUNT; i++) {
        text_add(fields, "%s\"%s\": ", i ? ", " : "", NAMES[i]);
        describe(&watch->window[i], fields);
    }
    text_add(fields, "}");
}

/* Holds the three windows for a meter that the host reads. */
static int hold(struct watch *watch, struct text *fields, struct fault *fault)
{
    rest_s(watch->conductor->job.meter.lead_s);
    int64_t edge[COUNT + 1] = {now_ns()};
    double count = 0;
    for (int i = 0; i < COUNT; i++) {
        if (i == BUSY && !(ask_to_spin(watch, fault) && process_wait(watch->process, fault, "spin")))
            return 0;
        if (i == BUSY)
            count = process_number(watch->process, "count");
        else
            rest_s(watch->seconds);
        edge[i + 1] = now_ns();
    }
    text_add(fields, ", \"meter\": \"" HOST_METER "\", \"inferences\": %.0f, \"windows\": {", count);
    for (int i = 0; i < COUNT; i++)
        text_add(fields, "%s\"%s\": {\"begin_ns\": %lld, \"end_ns\": %lld}", i ? ", " : "", NAMES[i],
                 (long long)edge[i], (long long)edge[i + 1]);
    text_add(fields, "}");
    return 1;
}

static int measure(struct watch *watch, struct text *fields, struct fault *fault)
{
    const struct meter_spec *spec = &watch->conductor->job.meter;
    if (strcmp(spec->kind, HOST_METER) == 0)
        return hold(watch, fields, fault);
    int good = meter_open(&watch->meter, spec, fault) && watch_all(watch, fault);
    if (good)
        describe_all(watch, fields);
    meter_close(&watch->meter);
    for (int i = 0; i < COUNT; i++)
        window_free(&watch->window[i]);
    return good;
}

/* Says, where the host reads the meter, that the windows come `lead_s` later: time to compare the clocks. */
static void announce(struct conductor *conductor, const struct process *process)
{
    if (strcmp(conductor->job.meter.kind, HOST_METER) != 0)
        return;
    text_add(events_begin(&conductor->events, EVENT_ENERGY_START), ", \"model\": %zu", process->index);
    events_end(&conductor->events);
}

int energy_measure(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    struct watch watch = {.conductor = conductor, .process = process, .seconds = conductor->job.plan.energy_s};
    announce(conductor, process);
    if (!process_do(process, fault, "load") ||
        !process_ask(process, fault, "warm", ", \"max_s\": %.9g", conductor->job.plan.warmup_s))
        return 0;
    if (measure(&watch, fields, fault))
        return 1;
    /* The meter's fault is not the model's. */
    if (strcmp(fault->kind, FAULT_METER) != 0)
        return 0;
    text_add(fields, ", \"absent\": ");
    char *reason = formatted(*fault->remedy ? "%s; %s" : "%s%s", fault->message, fault->remedy);
    text_string(fields, reason);
    free(reason);
    return 1;
}
