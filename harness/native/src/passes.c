#include "worker.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"

double worker_asked(const struct json *request, const char *key)
{
    const struct json *value = json_get(request, key);
    return value ? value->number : 0;
}

int worker_infer(struct worker *worker, const struct input *input, struct fault *fault)
{
    struct outputs outputs;
    int good = session_call(&worker->session, input, &outputs, fault);
    session_release(&worker->session, &outputs);
    return good;
}

int worker_first(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    int64_t started = now_ns();
    int good = worker_infer(worker, worker->bound[0], fault);
    text_add(&worker->answer, "{\"ns\": %lld}", (long long)(now_ns() - started));
    return good;
}

/* Infers for `duration_ns` and at least `minimum` times, and adds each duration to the samples. Between two clock
 * readings stands nothing but the call and the release of what it gave. */
static int timed(struct worker *worker, int64_t duration_ns, size_t minimum, struct fault *fault)
{
    struct samples *samples = &worker->samples;
    int64_t end = now_ns() + duration_ns;
    samples->count = 0;
    for (;;) {
        samples_reserve(samples);
        const struct input *input = worker->bound[worker->turn++ % worker->inputs];
        int64_t start = now_ns();
        int good = worker_infer(worker, input, fault);
        int64_t stop = now_ns();
        if (!good)
            return 0;
        samples->ns[samples->count++] = stop - start;
        if (stop >= end && samples->count >= minimum)
            return 1;
    }
}

/* Infers until two windows in a row agree; these samples are kept apart. */
int worker_warm(struct worker *worker, const struct json *request, struct fault *fault)
{
    double max_s = worker_asked(request, "max_s"), before = 0;
    int64_t deadline = now_ns() + (int64_t)(max_s * 1e9), ns = 0;
    size_t count = 0;
    int steady = 0;
    while (!steady && now_ns() < deadline) {
        if (!timed(worker, (int64_t)(max_s * 1e8), 3, fault))
            return 0;
        count += worker->samples.count;
        ns += samples_sum(&worker->samples);
        double median = samples_median(&worker->samples);
        steady = before > 0 && fabs(median / before - 1) < STEADY;
        before = median;
    }
    text_add(&worker->answer, "{\"count\": %zu, \"ns\": %lld, \"steady\": %s}", count, (long long)ns,
             steady ? "true" : "false");
    return 1;
}

int worker_keep(const struct worker *worker, const char *name, const int64_t *rows, size_t count,
                struct fault *fault)
{
    char *path = formatted("%s.%s.raw", worker->stem, name);
    FILE *file = fopen(path, "abe");
    int good = file && fwrite(rows, sizeof *rows, count, file) == count;
    if (file)
        good = fclose(file) == 0 && good;
    free(path);
    return good ? 1 : fail(fault, ERROR_DISK, "the samples cannot be written: %s", strerror(errno));
}

int worker_round(struct worker *worker, const struct json *request, struct fault *fault)
{
    int64_t duration = (int64_t)(worker_asked(request, "duration_s") * 1e9);
    if (!timed(worker, duration, (size_t)worker_asked(request, "minimum"), fault))
        return 0;
    const struct samples *samples = &worker->samples;
    if (worker_asked(request, "keep") != 0 && !worker_keep(worker, "latency", samples->ns, samples->count, fault))
        return 0;
    text_add(&worker->answer, "{\"count\": %zu, \"level_ns\": %.17g, \"ns\": %lld}", worker->samples.count,
             samples_level(&worker->samples), (long long)samples_sum(&worker->samples));
    return 1;
}

/* Infers without keeping samples, for a meter's window; `count` is of images. */
int worker_spin(struct worker *worker, const struct json *request, struct fault *fault)
{
    int64_t started = now_ns();
    if (!timed(worker, (int64_t)(worker_asked(request, "duration_s") * 1e9), 1, fault))
        return 0;
    text_add(&worker->answer, "{\"count\": %zu, \"ns\": %lld}", worker->samples.count * (size_t)worker->job.batch,
             (long long)(now_ns() - started));
    return 1;
}

int worker_memory(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    (void)fault;
    memory_add(&worker->answer);
    return 1;
}
