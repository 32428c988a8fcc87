#include "conduct.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "energy.h"
#include "survey.h"
#include "timed.h"

#define VERSION "native 1"

typedef int phase_body(struct conductor *, struct process *, struct text *, struct fault *);

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct conductor *conductor)
{
    uint64_t mixed = conductor->random += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

size_t conduct_shuffled(struct conductor *conductor, const int *wanted, size_t *order)
{
    size_t count = 0;
    for (size_t i = 0; i < conductor->job.models; i++)
        if (wanted[i])
            order[count++] = i;
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)(next_random(conductor) % i), held = order[i - 1];
        order[i - 1] = order[other];
        order[other] = held;
    }
    return count;
}

int conduct_start(struct conductor *conductor, size_t index, struct process *process, struct fault *fault)
{
    return process_start(process, &conductor->program, conductor->job.folder, index, conductor->job.plan.deadline_s,
                         &conductor->spent, fault);
}

void conduct_drop(struct conductor *conductor, size_t index, const char *phase, const struct fault *fault)
{
    conductor->alive[index] = 0;
    struct text *event = events_begin(&conductor->events, "error");
    text_add(event, ", \"model\": %zu, \"phase\": \"%s\", \"kind\": ", index, phase);
    text_string(event, fault->kind);
    text_add(event, ", \"message\": ");
    text_string(event, fault->message);
    events_end(&conductor->events);
}

int conduct_told(const struct conductor *conductor, const char *name)
{
    char *path = formatted("%s/%s", conductor->job.folder, name);
    int told = access(path, F_OK) == 0;
    free(path);
    return told;
}

static int cold(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    (void)conductor;
    if (!process_do(process, fault, "load"))
        return 0;
    double load = process_number(process, "ns");
    if (!process_do(process, fault, "first"))
        return 0;
    text_add(fields, ", \"process_start_ns\": %lld, \"load_ns\": %.0f, \"first_inference_ns\": %.0f",
             (long long)process->start_ns, load, process_number(process, "ns"));
    /* The model file was hashed just before the job, and nothing here may drop the page cache. */
    text_add(fields, ", \"page_cache\": \"warm\", \"facts\": %s", process->facts);
    return 1;
}

static int read_memory(struct process *process, const char *name, struct text *fields, struct fault *fault)
{
    if (!process_do(process, fault, "memory"))
        return 0;
    text_add(fields, ", \"%s\": %s", name, process->answer.data);
    return 1;
}

static int memory(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    int minimum = conductor->job.plan.round_min;
    return read_memory(process, "before", fields, fault) && process_do(process, fault, "load") &&
           read_memory(process, "loaded", fields, fault) && process_do(process, fault, "first") &&
           read_memory(process, "inferred", fields, fault) &&
           process_ask(process, fault, "round", ", \"duration_s\": 0, \"minimum\": %d, \"keep\": false", minimum) &&
           read_memory(process, "after", fields, fault);
}

static int accuracy(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    (void)conductor;
    if (!process_do(process, fault, "load") || !process_do(process, fault, "accuracy"))
        return 0;
    text_add(fields, ", %s", process_fields(process));
    return 1;
}

/* Runs `body` once in a fresh process of a model and says what it gave, or why it gave nothing. */
static void once(struct conductor *conductor, const char *phase, phase_body *body, size_t index, int turn, int of)
{
    struct process process;
    struct text fields = {0};
    struct fault fault = {0};
    int good = conduct_start(conductor, index, &process, &fault) && body(conductor, &process, &fields, &fault);
    if (good && body == memory) {
        int64_t peak = (int64_t)process_number(&process, "peak_rss_bytes");
        conductor->peak_bytes[index] = peak > conductor->peak_bytes[index] ? peak : conductor->peak_bytes[index];
    }
    process_quit(&process);
    if (good) {
        struct text *event = events_begin(&conductor->events, phase);
        text_add(event, ", \"model\": %zu, \"turn\": %d, \"of\": %d%s", index, turn, of, fields.data);
        events_end(&conductor->events);
    } else
        conduct_drop(conductor, index, phase, &fault);
    text_free(&fields);
}

/* Runs a phase `times` times for every model, in random order, so that drift favours none. */
static void each(struct conductor *conductor, const char *phase, phase_body *body, int times)
{
    size_t *order = need(conductor->job.models * sizeof *order);
    for (int turn = 0; turn < times; turn++) {
        size_t count = conduct_shuffled(conductor, conductor->alive, order);
        for (size_t i = 0; i < count; i++)
            once(conductor, phase, body, order[i], turn, times);
    }
    free(order);
}

static void say_conditions(struct conductor *conductor, const char *when)
{
    struct text *event = events_begin(&conductor->events, "conditions");
    text_add(event, ", \"when\": \"%s\", ", when);
    survey_conditions(event, conductor->job.folder);
    events_end(&conductor->events);
}

static void say_done(struct conductor *conductor)
{
    struct text *event = events_begin(&conductor->events, "done");
    text_add(event, ", \"alive\": [");
    for (size_t i = 0, any = 0; i < conductor->job.models; i++)
        if (conductor->alive[i])
            text_add(event, any++ ? ", %zu" : "%zu", i);
    text_add(event, "], \"spent\": {\"process_start_ns\": %lld, \"load_ns\": %lld, \"inference_ns\": %lld}",
             (long long)conductor->spent.process_start_ns, (long long)conductor->spent.load_ns,
             (long long)conductor->spent.inference_ns);
    events_end(&conductor->events);
}

static void run(struct conductor *conductor)
{
    const struct plan *plan = &conductor->job.plan;
    events_open(&conductor->events, conductor->job.folder);
    /* Before any model runs: what the processor can do while it is cool. */
    sentinel_start(&conductor->sentinel);
    struct text *event = events_begin(&conductor->events, "start");
    text_add(event, ", \"agent\": \"" VERSION "\", \"pid\": %ld, \"fingerprint\": ", (long)getpid());
    survey_fingerprint(event);
    events_end(&conductor->events);
    say_conditions(conductor, "before");
    each(conductor, "cold", cold, plan->cold_starts);
    each(conductor, "memory", memory, plan->memory_starts);
    each(conductor, "accuracy", accuracy, plan->accuracy);
    if (plan->max_launches)
        timed_pass(conductor);
    if (conductor->job.meter.kind)
        each(conductor, "energy", energy_measure, 1);
    say_conditions(conductor, "after");
    say_done(conductor);
}

/* Forks into a session of its own with its output in agent.log; returns 1 in the process that goes on. */
static int detach_into(const char *folder)
{
    if (fork() != 0)
        return 0;
    setsid();
    char *path = formatted("%s/agent.log", folder);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    free(path);
    return 1;
}

/* Whether the job is still nobody's: it is started twice when the answer to the first start is lost with the link. */
static int claim(const char *folder)
{
    char *path = formatted("%s/claim", folder);
    int won = mkdir(path, 0777) == 0 || errno != EEXIST;
    free(path);
    return won;
}

/* Written before anything that a follower waits for: it tells him whom to watch. */
static int write_pid(const char *folder)
{
    char *part = formatted("%s/pid.part", folder), *path = formatted("%s/pid", folder);
    FILE *file = fopen(part, "we");
    int good = file && fprintf(file, "%ld", (long)getpid()) > 0;
    if (file)
        good = fclose(file) == 0 && good;
    good = good && rename(part, path) == 0;
    if (!good)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    free(part);
    free(path);
    return good;
}

int conduct_main(const char *name, const char *folder, int detach)
{
    /* Read before detaching, so that a job that is wrong is told to whoever starts it. */
    struct conductor conductor = {.job = job_read(folder), .program = program_of(name)};
    conductor.random = conductor.job.seed;
    conductor.alive = need(conductor.job.models * sizeof *conductor.alive);
    conductor.peak_bytes = need(conductor.job.models * sizeof *conductor.peak_bytes);
    for (size_t i = 0; i < conductor.job.models; i++) {
        conductor.alive[i] = 1;
        conductor.peak_bytes[i] = 0;
    }
    if (detach && !detach_into(folder))
        return 0;
    if (!claim(folder))
        return 0;
    signal(SIGPIPE, SIG_IGN);
    int64_t started = now_ns();
    if (!write_pid(folder))
        return 74;
    run(&conductor);
    fprintf(stderr, "done in %.1f s\n", (double)(now_ns() - started) * 1e-9);
    return 0;
}
