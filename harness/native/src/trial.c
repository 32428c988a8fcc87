#include "trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "meter.h"
#include "runtime.h"
#include "sentinel.h"
#include "text.h"

/* Half of the time at rest, half under a load of one core. */
static const double HALF_S = TRIAL_S / 2;

/* The readings of one half. */
struct half {
    double first, last, sum;
    int64_t began_ns, ended_ns;
    size_t count;
    int changes;
};

static int take(struct half *half, struct meter *meter, struct fault *fault)
{
    double value;
    half->ended_ns = now_ns();
    if (!meter_read(meter, &value, fault))
        return 0;
    if (half->count == 0) {
        half->first = value;
        half->began_ns = half->ended_ns;
    } else
        half->changes += value != half->last;
    half->last = value;
    half->sum += value;
    half->count++;
    return 1;
}

static int sample(struct half *half, struct meter *meter, int load, struct fault *fault)
{
    int good = take(half, meter, fault);
    int64_t end = half->began_ns + (int64_t)(HALF_S * 1e9);
    while (good && now_ns() < end) {
        int64_t pause = now_ns() + (int64_t)(PERIOD_S * 1e9);
        while (load && now_ns() < pause)
            sentinel_kernel_ns();
        int64_t left = pause - now_ns();
        rest_s(left > 0 ? (double)left * 1e-9 : 0);
        good = take(half, meter, fault);
    }
    return good;
}

static double watts_of(const struct half *half, const struct meter *meter)
{
    if (!meter->kind->counts_joules)
        return half->sum / (double)half->count;
    return (half->last - half->first) / ((double)(half->ended_ns - half->began_ns) * 1e-9);
}

static int answer(const struct text *text)
{
    printf("%s", text->data);
    return fflush(stdout) == 0 ? 0 : 74;
}

static void describe(const struct half *rest, const struct half *load, const struct meter *meter, struct text *text)
{
    text_add(text, "{\"charging\": false, \"changes\": %d, \"rest_w\": %.17g, \"load_w\": %.17g",
             rest->changes + load->changes, watts_of(rest, meter), watts_of(load, meter));
    text_add(text, ", \"seconds\": %.17g}", (double)(load->ended_ns - rest->began_ns) * 1e-9);
}

static int try(const struct meter_spec *spec, struct text *text, struct fault *fault)
{
    struct meter meter;
    struct half rest = {0}, load = {0};
    int good = meter_open(&meter, spec, fault);
    if (good && meter_charging(&meter, fault) > 0)
        text_add(text, "{\"charging\": true}");
    else if (good && (good = sample(&rest, &meter, 0, fault) && sample(&load, &meter, 1, fault)))
        describe(&rest, &load, &meter, text);
    meter_close(&meter);
    return good;
}

static int refused(struct text *text, const struct fault *fault)
{
    meter_refusal(text, fault);
    return answer(text);
}

int trial_meter(void)
{
    struct text text = {0};
    struct fault fault = {0};
    const char *wrong = "";
    char *asked = stdin_text();
    struct json *table = json_parse(asked, &wrong);
    free(asked);
    if (table == NULL || table->kind != JSON_OBJECT) {
        fprintf(stderr, "meter takes the [meter] table as JSON on standard input\n");
        return 65;
    }
    struct meter_spec spec = job_meter(table);
    if (try(&spec, &text, &fault))
        return answer(&text);
    return refused(&text, &fault);
}

int trial_runtime(const char *name, const char *folder)
{
    struct text text = {0};
    struct fault fault = {0};
    struct runtime runtime;
    const struct runtime_kind *kind = runtime_kind(name);
    if (kind == NULL)
        return NO_SUCH_COMMAND;
    /* A runtime that prints while it is loaded must not garble the answer. */
    int answers = dup(1);
    dup2(2, 1);
    int good = runtime_open(&runtime, kind, folder, &fault);
    if (good) {
        text_add(&text, "{");
        kind->facts(&runtime, &text);
        text_add(&text, ", \"offers\": ");
        good = kind->offers(&runtime, &text, &fault);
        text_add(&text, "}");
    }
    fflush(stdout);
    dup2(answers, 1);
    return good ? answer(&text) : refused(&text, &fault);
}
