#include "sustained.h"

#include <stdlib.h>

#include "clock.h"
#include "survey.h"
#include "system.h"
#include "track.h"

/* How much warmer than before the job still counts as cool, in kelvin; a sign of life for the host, which takes a long
 * silence for death; the first pause before looking again, and the longest. */
static const double WARMER_C = 3.0, WORD_S = 30.0, FIRST_PAUSE_S = 0.05, LONGEST_PAUSE_S = 5.0;

struct burden {
    struct conductor *conductor;
    struct text fields; /* of the `sustained` event */
    double waited_s;
};

/* Waits until the device is as it was before the job, at most `cooldown_s`. */
static void cool(struct burden *burden)
{
    struct conductor *conductor = burden->conductor;
    double most_s = conductor->job.plan.cooldown_s, pause = FIRST_PAUSE_S;
    int64_t began = now_ns();
    for (;;) {
        double now_c = 0, drift = sentinel_drift(&conductor->sentinel);
        int known = system_temperature(&now_c);
        int warm = known && conductor->cool_known && now_c > conductor->cool_c + WARMER_C;
        int cooled = drift <= SENTINEL_DRIFT && !warm;
        double waited = (double)(now_ns() - began) * 1e-9, left = most_s - waited;
        if (cooled || left <= 0) {
            burden->waited_s += waited;
            text_add(&burden->fields, ", \"cooled\": %s, \"waited_s\": %.9g, \"start_drift\": %.4f, \"start_c\": ",
                     cooled ? "true" : "false", waited, drift);
            text_add(&burden->fields, known ? "%.17g" : "null", now_c);
            return;
        }
        rest_s(pause < left ? pause : left);
        pause = pause * 2 < LONGEST_PAUSE_S ? pause * 2 : LONGEST_PAUSE_S;
    }
}

/* Says from time to time that the model still runs. */
static void give_word(struct conductor *conductor, size_t index, double at_s, double *next_s)
{
    if (at_s <= *next_s)
        return;
    text_add(events_begin(&conductor->events, "sustaining"), ", \"model\": %zu, \"at_s\": %.9g, \"of_s\": %.9g", index,
             at_s, conductor->job.plan.sustained_s);
    events_end(&conductor->events);
    *next_s += WORD_S;
}

/* Notes when each window began with the temperature then, and rows as the timed pass writes them. */
static int windows(struct burden *burden, struct process *process, struct track *track, int64_t began,
                   struct fault *fault)
{
    struct conductor *conductor = burden->conductor;
    const struct plan *plan = &conductor->job.plan;
    double word_s = WORD_S, celsius;
    while (track->count == 0 || (double)(now_ns() - began) < plan->sustained_s * 1e9) {
        int64_t at_ns = now_ns() - began;
        int known = system_temperature(&celsius);
        give_word(conductor, process->index, (double)at_ns * 1e-9, &word_s);
        if (!process_ask(process, fault, "round", ", \"duration_s\": %.9g, \"minimum\": %d, \"keep\": true",
                         plan->window_s, plan->round_min))
            return 0;
        text_add(&burden->fields, "%s{\"at_ns\": %lld", track->count ? ", " : "", (long long)at_ns);
        if (known)
            text_add(&burden->fields, ", \"temperature_c\": %.17g", celsius);
        text_add(&burden->fields, "}");
        track_note(track, 0, (int64_t)process_number(process, "count"), sentinel_drift(&conductor->sentinel));
    }
    return 1;
}

static int bear(struct burden *burden, size_t index, struct fault *fault)
{
    struct conductor *conductor = burden->conductor;
    struct process process;
    struct track track = {0};
    int good = conductor_start(conductor, index, &process, fault) && process_do(&process, fault, "load") &&
               process_do(&process, fault, "first");
    int64_t began = now_ns();
    good = good && process_ask(&process, fault, "warm", ", \"max_s\": %.9g", conductor->job.plan.warmup_s);
    text_add(&burden->fields, ", \"began_ns\": %lld, \"windows\": [", (long long)began);
    good = good && windows(burden, &process, &track, began, fault);
    text_add(&burden->fields, "]");
    process_quit(&process);
    if (good)
        track_write(&track, conductor->job.folder, index);
    free(track.rows);
    return good;
}

static void say(struct burden *burden, size_t index)
{
    struct text *event = events_begin(&burden->conductor->events, "sustained");
    text_add(event, ", \"model\": %zu%s, \"conditions\": {", index, burden->fields.data);
    survey_conditions(event, burden->conductor->job.folder);
    text_add(event, "}");
    events_end(&burden->conductor->events);
}

void sustained_pass(struct conductor *conductor)
{
    struct burden burden = {.conductor = conductor};
    size_t *order = need(conductor->job.models * sizeof *order);
    size_t count = conductor_shuffled(conductor, conductor->alive, order);
    struct text *event = events_begin(&conductor->events, "timed");
    text_add(event, ", \"hold\": false, \"sentinel_cool_ns\": %lld, \"models\": [",
             (long long)conductor->sentinel.cool_ns);
    for (size_t i = 0; i < count; i++)
        text_add(event, i ? ", %zu" : "%zu", order[i]);
    text_add(event, "]");
    events_end(&conductor->events);
    for (size_t place = 0; place < count; place++) {
        struct fault fault = {0};
        text_clear(&burden.fields);
        text_add(&burden.fields, ", \"place\": %zu, \"of\": %zu", place, count);
        cool(&burden);
        if (bear(&burden, order[place], &fault))
            say(&burden, order[place]);
        else
            conductor_drop(conductor, order[place], "sustained", &fault);
    }
    event = events_begin(&conductor->events, "timed_end");
    text_add(event, ", \"paused_s\": %.9g, \"sentinel_ns\": %lld", burden.waited_s,
             (long long)conductor->sentinel.spent_ns);
    events_end(&conductor->events);
    text_free(&burden.fields);
    free(order);
}
