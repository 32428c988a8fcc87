#include "timed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "limits.h"
#include "npy.h"
#include "survey.h"

/* One round: launch, first sample, last sample + 1, drift of the sentinel in 1e-4. */
struct row {
    int64_t launch, start, stop, drift;
};

struct track {
    struct process process; /* pid 0: not held */
    struct row *rows;
    size_t count;
    int64_t taken; /* samples that finished rounds counted */
    int playing, began;
};

struct pass {
    struct conductor *conductor;
    struct sentinel *sentinel;
    struct track *track;
    size_t *order;
    int *wanted;
    int hold;
    double pause_left_s, paused_s;
    struct text rounds;
};

/* Takes note of which models are decided; returns how many still play. */
static int count_playing(struct pass *pass)
{
    int count = 0;
    for (size_t i = 0; i < pass->conductor->job.models; i++) {
        char *name = formatted("stop-%zu", i);
        struct track *track = &pass->track[i];
        track->playing = track->playing && pass->conductor->alive[i] && !conduct_told(pass->conductor, name);
        count += track->playing;
        free(name);
    }
    return count;
}

/* Whether all models fit into memory at once, with a fifth to spare. */
static int all_fit(const struct conductor *conductor)
{
    int64_t available = limits_available(), needed = 0;
    if (conductor->job.plan.hold >= 0)
        return conductor->job.plan.hold;
    for (size_t i = 0; i < conductor->job.models; i++)
        needed += conductor->peak_bytes[i];
    return available < 0 || (double)needed < 0.8 * (double)available;
}

static void drop(struct pass *pass, size_t index, const struct fault *fault)
{
    process_quit(&pass->track[index].process);
    conduct_drop(pass->conductor, index, "timed", fault);
}

/* Starts, loads and warms a model. */
static int make_ready(struct pass *pass, size_t index, struct fault *fault)
{
    struct process *process = &pass->track[index].process;
    return conduct_start(pass->conductor, index, process, fault) && process_do(process, fault, "load") &&
           process_do(process, fault, "first") &&
           process_ask(process, fault, "warm", ", \"max_s\": %.9g", pass->conductor->job.plan.warmup_s);
}

static double settle(struct pass *pass)
{
    double paused = 0, budget = pass->pause_left_s < 1.0 ? pass->pause_left_s : 1.0;
    double drift = sentinel_settle(pass->sentinel, budget, &paused);
    pass->pause_left_s = pass->pause_left_s > paused ? pass->pause_left_s - paused : 0;
    pass->paused_s += paused;
    return drift;
}

static void note_round(struct pass *pass, size_t index, int launch, int turn, double drift)
{
    struct track *track = &pass->track[index];
    int64_t stop = track->taken + (int64_t)process_number(&track->process, "count");
    track->rows = need_again(track->rows, (track->count + 1) * sizeof *track->rows);
    track->rows[track->count++] = (struct row){launch, track->taken, stop, (int64_t)(drift * 1e4)};
    track->taken = stop;
    text_add(&pass->rounds, "%s{\"model\": %zu, \"turn\": %d, \"drift\": %.4f, %s}", pass->rounds.size ? ", " : "",
             index, turn, drift, process_fields(&track->process));
}

/* One round of one model, in its held process or in one of its own. */
static void play(struct pass *pass, size_t index, int launch, int turn)
{
    const struct plan *plan = &pass->conductor->job.plan;
    struct process *process = &pass->track[index].process;
    struct fault fault = {0};
    if (!pass->hold && !make_ready(pass, index, &fault)) {
        drop(pass, index, &fault);
        return;
    }
    double drift = settle(pass);
    if (!process_ask(process, &fault, "round", ", \"duration_s\": %.9g, \"minimum\": %d, \"keep\": true", plan->round_s,
                     plan->round_min)) {
        drop(pass, index, &fault);
        return;
    }
    double after = sentinel_drift(pass->sentinel);
    note_round(pass, index, launch, turn, after > drift ? after : drift);
    if (!pass->hold)
        process_quit(process);
}

static size_t shuffled(struct pass *pass)
{
    count_playing(pass);
    for (size_t i = 0; i < pass->conductor->job.models; i++)
        pass->wanted[i] = pass->track[i].playing;
    return conduct_shuffled(pass->conductor, pass->wanted, pass->order);
}

static void hold_all(struct pass *pass)
{
    struct fault fault = {0};
    size_t count = shuffled(pass);
    for (size_t i = 0; i < count; i++)
        if (!make_ready(pass, pass->order[i], &fault))
            drop(pass, pass->order[i], &fault);
}

static void launch_once(struct pass *pass, int launch)
{
    struct conductor *conductor = pass->conductor;
    text_clear(&pass->rounds);
    if (pass->hold)
        hold_all(pass);
    for (int turn = 0; turn < conductor->job.plan.rounds; turn++) {
        size_t count = shuffled(pass);
        for (size_t i = 0; i < count; i++)
            if (!pass->hold || pass->track[pass->order[i]].process.pid)
                play(pass, pass->order[i], launch, turn);
    }
    for (size_t i = 0; i < conductor->job.models; i++)
        process_quit(&pass->track[i].process);
    struct text *event = events_begin(&conductor->events, "launch");
    text_add(event, ", \"launch\": %d, \"rounds\": [%s], \"conditions\": {", launch,
             pass->rounds.size ? pass->rounds.data : "");
    survey_conditions(event, conductor->job.folder);
    text_add(event, "}, \"paused_s\": %.9g", pass->paused_s);
    events_end(&conductor->events);
}

static void refuse(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(74);
}

/* Gives the raw samples their header: only what finished rounds counted, for a worker that was killed while writing
 * may have left a piece behind. */
static void write_latencies(const struct track *track, const char *stem)
{
    char *raw = formatted("%s.latency.raw", stem), *path = formatted("%s.latency.npy", stem);
    size_t count = (size_t)track->taken;
    int64_t *samples = need(count * sizeof *samples);
    FILE *file = fopen(raw, "rbe");
    if (file) {
        if (fread(samples, sizeof *samples, count, file) != count ||
            !npy_write(path, "<i8", &count, 1, samples, count * sizeof *samples))
            refuse(path);
        fclose(file);
        unlink(raw);
    }
    free(samples);
    free(raw);
    free(path);
}

static void write_arrays(const struct pass *pass, size_t index)
{
    const struct track *track = &pass->track[index];
    char *stem = formatted("%s/m%zu", pass->conductor->job.folder, index), *path = formatted("%s.rounds.npy", stem);
    size_t shape[] = {track->count, 4};
    write_latencies(track, stem);
    if (!npy_write(path, "<i8", shape, 2, track->rows, track->count * sizeof *track->rows))
        refuse(path);
    free(stem);
    free(path);
}

static void begin(struct pass *pass, struct conductor *conductor)
{
    size_t models = conductor->job.models;
    *pass = (struct pass){.conductor = conductor, .sentinel = &conductor->sentinel, .hold = all_fit(conductor)};
    pass->pause_left_s = conductor->job.plan.pause_budget_s;
    pass->track = need(models * sizeof *pass->track);
    pass->order = need(models * sizeof *pass->order);
    pass->wanted = need(models * sizeof *pass->wanted);
    struct text *event = events_begin(&conductor->events, "timed");
    text_add(event, ", \"hold\": %s, \"sentinel_cool_ns\": %lld, \"models\": [", pass->hold ? "true" : "false",
             (long long)pass->sentinel->cool_ns);
    for (size_t i = 0, any = 0; i < models; i++) {
        int playing = conductor->alive[i];
        struct process none = {.requests = -1, .answers = -1};
        pass->track[i] = (struct track){.process = none, .playing = playing, .began = playing};
        if (playing)
            text_add(event, any++ ? ", %zu" : "%zu", i);
    }
    text_add(event, "]");
    events_end(&conductor->events);
}

static void finish(struct pass *pass)
{
    struct conductor *conductor = pass->conductor;
    for (size_t i = 0; i < conductor->job.models; i++) {
        if (pass->track[i].began)
            write_arrays(pass, i);
        free(pass->track[i].rows);
    }
    struct text *event = events_begin(&conductor->events, "timed_end");
    text_add(event, ", \"paused_s\": %.9g, \"sentinel_ns\": %lld", pass->paused_s,
             (long long)pass->sentinel->spent_ns);
    events_end(&conductor->events);
    text_free(&pass->rounds);
    free(pass->track);
    free(pass->order);
    free(pass->wanted);
}

void timed_pass(struct conductor *conductor)
{
    struct pass pass;
    begin(&pass, conductor);
    const struct plan *plan = &conductor->job.plan;
    int64_t deadline = now_ns() + (int64_t)(plan->max_timed_s * 1e9);
    for (int launch = 0; launch < plan->max_launches; launch++) {
        launch_once(&pass, launch);
        int late = now_ns() > deadline && launch + 1 >= plan->min_launches;
        if (late || conduct_told(conductor, "stop") || count_playing(&pass) == 0)
            break;
    }
    finish(&pass);
}
