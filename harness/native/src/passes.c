#include "worker.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"

static double asked(const struct json *request, const char *key)
{
    const struct json *value = json_get(request, key);
    return value ? value->number : 0;
}

/* Whether an image fits the input that the model wants; sizes that the model leaves open fit anything. */
static int fits(const struct worker *worker, struct fault *fault)
{
    const struct session *session = &worker->session;
    int64_t given[4];
    images_shape(&worker->images, &worker->job.input, given);
    int all = session->axes == 4;
    struct text wanted = {0};
    for (size_t i = 0; i < session->axes; i++) {
        text_add(&wanted, i ? ", " : "");
        if (session->shape[i] > 0)
            text_add(&wanted, "%lld", (long long)session->shape[i]);
        else
            text_add(&wanted, "any");
        all = all && (session->shape[i] <= 0 || session->shape[i] == given[i]);
    }
    if (!all)
        fail(fault, "input",
             "the model takes (%s) but the data gives (%lld, %lld, %lld, %lld); "
             "set layout under [data.input], or bring images of the model's size and channels",
             wanted.data ? wanted.data : "", (long long)given[0], (long long)given[1], (long long)given[2],
             (long long)given[3]);
    text_free(&wanted);
    return all;
}

/* An input over a buffer of its own. */
struct OrtValue *worker_input(struct worker *worker, void *buffer, struct fault *fault)
{
    int64_t shape[4];
    images_shape(&worker->images, &worker->job.input, shape);
    size_t bytes = images_bytes(&worker->images, worker->session.type);
    return session_bind(&worker->session, buffer, bytes, shape, fault);
}

int worker_load(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    int64_t started = now_ns();
    if (!session_open(&worker->session, &worker->runtime, worker->model->path, worker->job.threads, fault))
        return 0;
    int64_t elapsed = now_ns() - started;
    if (!images_open(&worker->images, &worker->job.input, fault) || !fits(worker, fault) ||
        !images_suit(&worker->images, worker->session.type, fault))
        return 0;
    size_t bytes = images_bytes(&worker->images, worker->session.type);
    for (size_t i = 0; i < TIMED_INPUTS && i < worker->images.count; i++) {
        void *buffer = need(bytes);
        images_prepare(&worker->images, i, &worker->job.input, worker->session.type, buffer);
        worker->bound[i] = worker_input(worker, buffer, fault);
        if (worker->bound[i] == NULL)
            return 0;
        worker->inputs = i + 1;
    }
    text_add(&worker->answer, "{\"ns\": %lld}", (long long)elapsed);
    return 1;
}

static int infer(struct worker *worker, const struct OrtValue *input, struct fault *fault)
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
    int good = infer(worker, worker->bound[0], fault);
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
        const struct OrtValue *input = worker->bound[worker->turn++ % worker->inputs];
        int64_t start = now_ns();
        int good = infer(worker, input, fault);
        int64_t stop = now_ns();
        if (!good)
            return 0;
        samples->ns[samples->count++] = stop - start;
        if (stop >= end && samples->count >= minimum)
            return 1;
    }
}

/* Infers until two windows in a row agree within 2 %; these samples are kept apart. */
int worker_warm(struct worker *worker, const struct json *request, struct fault *fault)
{
    double max_s = asked(request, "max_s"), before = 0;
    int64_t deadline = now_ns() + (int64_t)(max_s * 1e9), ns = 0;
    size_t count = 0;
    int steady = 0;
    while (!steady && now_ns() < deadline) {
        if (!timed(worker, (int64_t)(max_s * 1e8), 3, fault))
            return 0;
        count += worker->samples.count;
        ns += samples_sum(&worker->samples);
        double median = samples_median(&worker->samples);
        steady = before > 0 && fabs(median / before - 1) < 0.02;
        before = median;
    }
    text_add(&worker->answer, "{\"count\": %zu, \"ns\": %lld, \"steady\": %s}", count, (long long)ns,
             steady ? "true" : "false");
    return 1;
}

static int keep(const struct worker *worker, struct fault *fault)
{
    char *path = formatted("%s.latency.raw", worker->stem);
    FILE *file = fopen(path, "abe");
    const struct samples *samples = &worker->samples;
    int good = file && fwrite(samples->ns, sizeof *samples->ns, samples->count, file) == samples->count;
    if (file)
        good = fclose(file) == 0 && good;
    free(path);
    return good ? 1 : fail(fault, "disk", "the samples cannot be written: %s", strerror(errno));
}

int worker_round(struct worker *worker, const struct json *request, struct fault *fault)
{
    int64_t duration = (int64_t)(asked(request, "duration_s") * 1e9);
    if (!timed(worker, duration, (size_t)asked(request, "minimum"), fault))
        return 0;
    if (asked(request, "keep") != 0 && !keep(worker, fault))
        return 0;
    text_add(&worker->answer, "{\"count\": %zu, \"level_ns\": %.17g, \"ns\": %lld}", worker->samples.count,
             samples_level(&worker->samples), (long long)samples_sum(&worker->samples));
    return 1;
}

int worker_spin(struct worker *worker, const struct json *request, struct fault *fault)
{
    int64_t started = now_ns();
    if (!timed(worker, (int64_t)(asked(request, "duration_s") * 1e9), 1, fault))
        return 0;
    text_add(&worker->answer, "{\"count\": %zu, \"ns\": %lld}", worker->samples.count, (long long)(now_ns() - started));
    return 1;
}

int worker_memory(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    (void)fault;
    memory_add(&worker->answer);
    return 1;
}
