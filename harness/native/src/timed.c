#include "timed.h"

#include <stdlib.h>

#include "clock.h"
#include "limits.h"
#include "survey.h"
#include "track.h"

struct player {
    struct process process; /* pid 0: not held */
    struct track track;
    int64_t waits; /* of a stream, for frames */
    int playing, began;
};

struct pass {
    struct conductor *conductor;
    struct sentinel *sentinel;
    struct player *player;
    size_t *order;
    int *wanted;
    int hold;
    int64_t began_ns;
    double paused_s;
    struct text rounds;
};

/* Takes note of which models are decided; returns how many still play. */
static int count_playing(struct pass *pass)
{
    int count = 0;
    for (size_t i = 0; i < pass->conductor->job.models; i++) {
        char *name = formatted(STOP_FILE "-%zu", i);
        struct player *player = &pass->player[i];
        player->playing = player->playing && pass->conductor->alive[i] && !conductor_has_file(pass->conductor, name);
        count += player->playing;
        free(name);
    }
    return count;
}

/* Whether all models fit into memory at once, with some to spare. */
static int all_fit(const struct conductor *conductor)
{
    int64_t available = limits_available(), needed = 0;
    if (conductor->job.plan.hold != AUTO)
        return conductor->job.plan.hold;
    for (size_t i = 0; i < conductor->job.models; i++)
        needed += conductor->peak_bytes[conductor_original(conductor, i)];
    return available < 0 || (double)needed < HOLD_SHARE * (double)available;
}

static void drop(struct pass *pass, size_t index, const struct fault *fault)
{
    process_quit(&pass->player[index].process);
    conductor_drop(pass->conductor, index, EVENT_TIMED, fault);
}

/* Starts, loads and warms a model. */
static int make_ready(struct pass *pass, size_t index, struct fault *fault)
{
    struct process *process = &pass->player[index].process;
    return conductor_start(pass->conductor, index, process, fault) && process_do(process, fault, "load") &&
           process_do(process, fault, "first") &&
           process_ask(process, fault, "warm", ", \"max_s\": %.9g", pass->conductor->job.plan.warmup_s);
}

/* The budget comes with time, so that a comparison that is soon decided is not spent waiting. */
static double settle(struct pass *pass)
{
    const struct plan *plan = &pass->conductor->job.plan;
    double come = (double)(now_ns() - pass->began_ns) / 1e9 / plan->max_timed_s, paused = 0;
    double left_s = plan->pause_budget_s * (come < 1 ? come : 1) - pass->paused_s;
    double budget_s = left_s < 0 ? 0 : left_s < 1 ? left_s : 1;
    double drift = sentinel_settle(pass->sentinel, budget_s, &paused);
    pass->paused_s += paused;
    return drift;
}

static void note_round(struct pass *pass, size_t index, int launch, int turn, double drift)
{
    struct player *player = &pass->player[index];
    track_note(&player->track, launch, (int64_t)process_number(&player->process, "count"), drift);
    player->waits += (int64_t)process_number(&player->process, "waits");
    text_add(&pass->rounds, "%s{\"model\": %zu, \"turn\": %d, \"drift\": %.4f, %s}", pass->rounds.size ? ", " : "",
             index, turn, drift, process_fields(&player->process));
}

/* Lets one model run its round: back to back, or a block of frames that arrive by the clock. */
static int run_round(const struct plan *plan, struct process *process, struct fault *fault)
{
    if (plan->period_ns)
        return process_ask(process, fault, "stream", ", \"frames\": %lld, \"period_ns\": %lld", (long long)plan->frames,
                           (long long)plan->period_ns);
    return process_ask(process, fault, "round", ", \"duration_s\": %.9g, \"minimum\": %lld, \"keep\": true",
                       plan->round_s, (long long)plan->round_min);
}

/* One round of one model, in its held process or in one of its own. */
static void play(struct pass *pass, size_t index, int launch, int turn)
{
    const struct plan *plan = &pass->conductor->job.plan;
    struct process *process = &pass->player[index].process;
    struct fault fault = {0};
    if (!pass->hold && !make_ready(pass, index, &fault)) {
        drop(pass, index, &fault);
        return;
    }
    double drift = settle(pass);
    if (!run_round(plan, process, &fault)) {
        drop(pass, index, &fault);
        return;
    }
    double after = sentinel_drift(pass->sentinel);
    note_round(pass, index, launch, turn, after > drift ? after : drift);
    if (!pass->hold)
        process_quit(process);
}

/* Whether copies take part in a turn: in the first ones, so that the k-th round of a copy is in the k-th turn. */
static int copies_play(const struct plan *plan, int turn)
{
    return plan->control_rounds == 0 || turn < plan->control_rounds;
}

/* Puts the models that play in random order, with their copies or without; returns how many they are. */
static size_t shuffled(struct pass *pass, int copies)
{
    const struct job *job = &pass->conductor->job;
    count_playing(pass);
    for (size_t i = 0; i < job->models; i++)
        pass->wanted[i] = pass->player[i].playing && (copies || job->model[i].copy_of == NO_COPY);
    return conductor_shuffled(pass->conductor, pass->wanted, pass->order);
}

static void hold_all(struct pass *pass)
{
    struct fault fault = {0};
    size_t count = shuffled(pass, 1);
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
        size_t count = shuffled(pass, copies_play(&conductor->job.plan, turn));
        for (size_t i = 0; i < count; i++)
            if (!pass->hold || pass->player[pass->order[i]].process.pid)
                play(pass, pass->order[i], launch, turn);
    }
    for (size_t i = 0; i < conductor->job.models; i++)
        process_quit(&pass->player[i].process);
    struct text *event = events_begin(&conductor->events, EVENT_LAUNCH);
    text_add(event, ", \"launch\": %d, \"rounds\": [%s], \"conditions\": {", launch,
             pass->rounds.size ? pass->rounds.data : "");
    survey_conditions(event, conductor->job.folder, conductor->job.thermal_zone);
    text_add(event, "}, \"paused_s\": %.9g", pass->paused_s);
    events_end(&conductor->events);
}

static void write_arrays(const struct pass *pass, size_t index)
{
    const struct player *player = &pass->player[index];
    const struct job *job = &pass->conductor->job;
    track_write(&player->track, job->folder, index);
    if (job->plan.period_ns == 0)
        return;
    track_close(job->folder, index, "frames", player->track.taken, 3);
    track_close(job->folder, index, "jitter", player->waits, 1);
}

static void begin(struct pass *pass, struct conductor *conductor)
{
    size_t models = conductor->job.models;
    *pass = (struct pass){.conductor = conductor, .sentinel = &conductor->sentinel, .hold = all_fit(conductor)};
    pass->began_ns = now_ns();
    pass->player = need(models * sizeof *pass->player);
    pass->order = need(models * sizeof *pass->order);
    pass->wanted = need(models * sizeof *pass->wanted);
    struct text *event = events_begin(&conductor->events, EVENT_TIMED);
    text_add(event, ", \"hold\": %s, \"sentinel_cool_ns\": %lld, \"models\": [", pass->hold ? "true" : "false",
             (long long)pass->sentinel->cool_ns);
    for (size_t i = 0, any = 0; i < models; i++) {
        int playing = conductor->alive[i];
        struct process none = {.requests = -1, .answers = -1};
        pass->player[i] = (struct player){.process = none, .playing = playing, .began = playing};
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
        if (pass->player[i].began)
            write_arrays(pass, i);
        free(pass->player[i].track.rows);
    }
    struct text *event = events_begin(&conductor->events, EVENT_TIMED_END);
    text_add(event, ", \"paused_s\": %.9g, \"sentinel_ns\": %lld", pass->paused_s,
             (long long)pass->sentinel->spent_ns);
    events_end(&conductor->events);
    text_free(&pass->rounds);
    free(pass->player);
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
        if (late || conductor_has_file(conductor, STOP_FILE) || count_playing(&pass) == 0)
            break;
    }
    finish(&pass);
}
