#include "phases.h"

#include <stdlib.h>

#include "energy.h"
#include "json.h"
#include "pagecache.h"

typedef int phase_body(struct conductor *, struct process *, struct text *, struct fault *);

/* Loads in a fresh process, with the model's file brought into the page cache or out of it just before. */
static int started(struct process *process, const char *path, int prepare(const char *, struct text *),
                   struct text *fields, struct fault *fault)
{
    if (!prepare(path, fields))
        return 1;
    if (!process_do(process, fault, "load"))
        return 0;
    double load = process_number(process, "ns");
    if (!process_do(process, fault, "first"))
        return 0;
    text_add(fields, ", \"process_start_ns\": %lld, \"load_ns\": %.0f, \"first_inference_ns\": %.0f, \"facts\": %s",
             (long long)process->start_ns, load, process_number(process, "ns"), process->facts);
    return 1;
}

static int cold(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    return started(process, conductor->job.model[process->index].path, pagecache_warm, fields, fault);
}

static int evicted(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    return started(process, conductor->job.model[process->index].path, pagecache_evict, fields, fault);
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
    long long minimum = conductor->job.plan.round_min;
    return read_memory(process, "before", fields, fault) && process_do(process, fault, "load") &&
           read_memory(process, "loaded", fields, fault) && process_do(process, fault, "first") &&
           read_memory(process, "inferred", fields, fault) &&
           process_ask(process, fault, "round", ", \"duration_s\": 0, \"minimum\": %lld, \"keep\": false", minimum) &&
           read_memory(process, "after", fields, fault);
}

/* Says what really runs the model, in a process of its own: to look costs time, and nothing is timed here. */
static int placement(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    if (!process_do(process, fault, "placement"))
        return 0;
    const char *wrong = "";
    struct json *seen = json_parse(process->answer.data, &wrong);
    const struct json *ran = json_get(json_get(seen, "nodes"), conductor->job.accelerator);
    process->accelerated = ran && ran->number > 0 ? conductor->job.accelerator : "";
    json_free(seen);
    text_add(fields, ", %s", process_fields(process));
    return 1;
}

static int parts(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    const struct plan *plan = &conductor->job.plan;
    if (!process_do(process, fault, "load") ||
        !process_ask(process, fault, "warm", ", \"max_s\": %.9g", plan->warmup_s) ||
        !process_ask(process, fault, "parts", ", \"duration_s\": %.9g, \"minimum\": %lld", plan->parts_s,
                     (long long)plan->parts_min))
        return 0;
    text_add(fields, ", %s", process_fields(process));
    return 1;
}

static int accuracy(struct conductor *conductor, struct process *process, struct text *fields, struct fault *fault)
{
    (void)conductor;
    if (!process_do(process, fault, "load"))
        return 0;
    double images = process_number(process, "images");
    if (!process_do(process, fault, "first"))
        return 0;
    double wanted_s = PATIENCE * images * process_number(process, "ns") / 1e9;
    process->deadline_s = process->deadline_s > wanted_s ? process->deadline_s : wanted_s;
    if (!process_do(process, fault, "accuracy"))
        return 0;
    text_add(fields, ", %s", process_fields(process));
    return 1;
}

/* Runs `body` once in a fresh process of a model and says what it gave, or why it gave nothing. */
static void once(struct conductor *conductor, const char *phase, phase_body *body, size_t index, int64_t turn,
                 int64_t of)
{
    struct process process;
    struct text fields = {0};
    struct fault fault = {0};
    int good = conductor_start(conductor, index, &process, &fault) && body(conductor, &process, &fields, &fault);
    if (good && body == memory) {
        int64_t peak = (int64_t)process_number(&process, "peak_rss_bytes");
        conductor->peak_bytes[index] = peak > conductor->peak_bytes[index] ? peak : conductor->peak_bytes[index];
    }
    if (good && body == placement)
        conductor->accelerated[index] = *process.accelerated != 0;
    process_quit(&process);
    if (good) {
        struct text *event = events_begin(&conductor->events, phase);
        text_add(event, ", \"model\": %zu, \"turn\": %lld, \"of\": %lld%s", index, (long long)turn, (long long)of,
                 fields.data);
        events_end(&conductor->events);
    } else
        conductor_drop(conductor, index, phase, &fault);
    text_free(&fields);
}

/* Runs a phase `times` times for every model but a copy, in random order, so that drift favours none. */
static void each(struct conductor *conductor, const char *phase, phase_body *body, int64_t times)
{
    size_t *order = need(conductor->job.models * sizeof *order);
    for (int64_t turn = 0; turn < times; turn++) {
        size_t count = conductor_originals(conductor, order);
        for (size_t i = 0; i < count; i++)
            once(conductor, phase, body, order[i], turn, times);
    }
    free(order);
}

void phases_before(struct conductor *conductor)
{
    const struct plan *plan = &conductor->job.plan;
    each(conductor, EVENT_PLACEMENT, placement, *conductor->job.accelerator != 0);
    each(conductor, EVENT_COLD, cold, plan->cold_starts);
    each(conductor, EVENT_EVICTED, evicted, plan->evicted_starts);
    each(conductor, EVENT_MEMORY, memory, plan->memory_starts);
    each(conductor, EVENT_ACCURACY, accuracy, plan->accuracy);
    each(conductor, EVENT_PARTS, parts, plan->parts_s > 0);
}

void phases_after(struct conductor *conductor)
{
    each(conductor, EVENT_ENERGY, energy_measure, conductor->job.meter.kind != NULL);
}

void phases_profile(struct conductor *conductor)
{
    if (!(conductor->job.plan.profile_s > 0))
        return;
    size_t *order = need(conductor->job.models * sizeof *order);
    size_t count = conductor_originals(conductor, order);
    for (size_t i = 0; i < count; i++) {
        text_add(events_begin(&conductor->events, EVENT_PROFILE),
                 ", \"model\": %zu, \"turn\": 0, \"of\": 1, \"absent\": \"%s\"", order[i],
                 "the native runner reads no times of single operators");
        events_end(&conductor->events);
    }
    free(order);
}
