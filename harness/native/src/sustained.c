#include "sustained.h"

#include <stdlib.h>

#include "clock.h"
#include "survey.h"
#include "system.h"
#include "track.h"

/* The first pause before looking again whether the device is cool, and the longest. */
static const double FIRST_PAUSE_S = 0.05, LONGEST_PAUSE_S = 5.0;

/* The model that is under load now. */
struct load {
    struct conductor *conductor;
    struct text fields; /* of the `sustained` event */
    double waited_s;
};

/* Waits until the device is as it was before the job, at most `cooldown_s`. */
static void cool(struct load *load)
{
    struct conductor *conductor = load->conductor;
    double most_s = conductor->job.plan.cooldown_s, pause = FIRST_PAUSE_S;
    int64_t began = now_ns();
    for (;;) {
        presence_look(&conductor->presence);
        double now_c = 0, drift = sentinel_drift(&conductor->sentinel);
        int known = system_temperature(conductor->job.thermal_zone, &now_c);
        int warm = known && conductor->cool_known && now_c > conductor->cool_c + WARMER_C;
        int cooled = drift <= DRIFT && !warm;
        double waited = (double)(now_ns() - began) * 1e-9, left = most_s - waited;
        if (cooled || left <= 0) {
            load->waited_s += waited;
            text_add(&load->fields, ", \"cooled\": %s, \"waited_s\": %.9g, \"start_drift\": %.4f",
                     cooled ? "true" : "false", waited, drift);
            if (known)
                text_add(&load->fields, ", \"start_c\": %.17g", now_c);
            return;
        }
        rest_s(pause < left ? pause : left);
        pause = pause * 2 < LONGEST_PAUSE_S ? pause * 2 : LONGEST_PAUSE_S;
    }
}

/* Says from time to time that the model still runs: the host takes a long silence for an end. */
static void show_life(struct conductor *conductor, size_t index, double at_s, double *next_s)
{
    if (at_s <= *next_s)
        return;
    text_add(events_begin(&conductor->events, EVENT_SUSTAINING), ", \"model\": %zu, \"at_s\": %.9g, \"of_s\": %.9g",
             index, at_s, conductor->job.plan.sustained_s);
    events_end(&conductor->events);
    *next_s += SIGN_OF_LIFE_S;
}

/* Notes when each window began with the temperature then, and rows as the timed pass writes them. */
static int windows(struct load *load, struct process *process, struct track *track, int64_t began,
                   struct fault *fault)
{
    struct conductor *conductor = load->conductor;
    const struct plan *plan = &conductor->job.plan;
    double next_s = SIGN_OF_LIFE_S, celsius;
    while (track->count == 0 || (double)(now_ns() - began) < plan->sustained_s * 1e9) {
        int64_t at_ns = now_ns() - began;
        int known = system_temperature(conductor->job.thermal_zone, &celsius);
        show_life(conductor, process->index, (double)at_ns * 1e-9, &next_s);
        if (!process_ask(process, fault, "round", ", \"duration_s\": %.9g, \"minimum\": %lld, \"keep\": true",
                         plan->window_s, (long long)plan->round_min))
            return 0;
        text_add(&load->fields, "%s{\"at_ns\": %lld", track->count ? ", " : "", (long long)at_ns);
        if (known)
            text_add(&load->fields, ", \"temperature_c\": %.17g", celsius);
        text_add(&load->fields, "}");
        track_note(track, 0, (int64_t)process_number(process, "count"), sentinel_drift(&conductor->sentinel));
    }
    return 1;
}

/* Holds one model under load for as long as the plan says. */
static int run_one(struct load *load, size_t index, struct fault *fault)
{
    struct conductor *conductor = load->conductor;
    struct process process;
    struct track track = {0};
    int good = conductor_start(conductor, index, &process, fault) && process_do(&process, fault, "load") &&
               process_do(&process, fault, "first");
    int64_t began = now_ns();
    good = good && process_ask(&process, fault, "warm", ", \"max_s\": %.9g", conductor->job.plan.warmup_s);
    text_add(&load->fields, ", \"began_ns\": %lld, \"windows\": [", (long long)began);
    good = good && windows(load, &process, &track, began, fault);
    text_add(&load->fields, "]");
    process_quit(&process);
    if (good)
        track_write(&track, conductor->job.folder, index);
    free(track.rows);
    return good;
}

static void write_event(struct load *load, size_t index)
{
    struct text *event = events_begin(&load->conductor->events, EVENT_SUSTAINED);
    text_add(event, ", \"model\": %zu%s, \"conditions\": {", index, load->fields.data);
    survey_conditions(event, load->conductor->job.folder, load->conductor->job.thermal_zone);
    text_add(event, "}");
    events_end(&load->conductor->events);
}

void sustained_pass(struct conductor *conductor)
{
    struct load load = {.conductor = conductor};
    size_t *order = need(conductor->job.models * sizeof *order);
    size_t count = conductor_originals(conductor, order);
    struct text *event = events_begin(&conductor->events, EVENT_TIMED);
    text_add(event, ", \"hold\": false, \"sentinel_cool_ns\": %lld, \"models\": [",
             (long long)conductor->sentinel.cool_ns);
    for (size_t i = 0; i < count; i++)
        text_add(event, i ? ", %zu" : "%zu", order[i]);
    text_add(event, "]");
    events_end(&conductor->events);
    for (size_t place = 0; place < count; place++) {
        struct fault fault = {0};
        text_clear(&load.fields);
        text_add(&load.fields, ", \"place\": %zu, \"of\": %zu", place, count);
        cool(&load);
        if (run_one(&load, order[place], &fault))
            write_event(&load, order[place]);
        else
            conductor_drop(conductor, order[place], EVENT_SUSTAINED, &fault);
    }
    event = events_begin(&conductor->events, EVENT_TIMED_END);
    text_add(event, ", \"paused_s\": %.9g, \"sentinel_ns\": %lld", load.waited_s,
             (long long)conductor->sentinel.spent_ns);
    events_end(&conductor->events);
    text_free(&load.fields);
    free(order);
}
