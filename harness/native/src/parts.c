/* From image to answer: what the model's user waits for beside the inference, each part timed on its own. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "npy.h"
#include "worker.h"

enum { COLUMNS = 3 };

/* Makes one output an answer: a label, with probabilities where its numbers are none yet. */
static void label(float *values, size_t count, const char *answer)
{
    size_t best = 0;
    float sum = 0;
    for (size_t i = 1; i < count; i++)
        best = values[i] > values[best] ? i : best;
    if (strcmp(answer, "labels") == 0 || strcmp(answer, "sigmoid") == 0 || strcmp(answer, "probabilities") == 0)
        return;
    float highest = values[best];
    for (size_t i = 0; i < count; i++)
        sum += values[i] = expf(values[i] - highest);
    for (size_t i = 0; i < count; i++)
        values[i] /= sum;
}

/* Makes one output an answer: a probability of each label on its own. */
static void several(float *values, size_t count, const char *answer)
{
    if (strcmp(answer, "logits") != 0)
        return;
    for (size_t i = 0; i < count; i++)
        values[i] = 1 / (1 + expf(-values[i]));
}

/* Makes one output an answer: a mask. One map a class, before or behind the pixels' axes: there are fewer classes than
 * pixels in a row. A single map is held against one half, or the logit of it. */
static void mask(float *values, const size_t *shape, size_t axes, float bound)
{
    size_t first = axes > 2 ? shape[0] : 1, last = axes ? shape[axes - 1] : 1, count = 1;
    for (size_t i = 0; i < axes; i++)
        count *= shape[i];
    int leads = first <= last;
    size_t classes = leads ? first : last, pixels = classes ? count / classes : 0;
    size_t step = leads ? pixels : 1, stride = leads ? 1 : classes;
    for (size_t pixel = 0; pixel < pixels; pixel++) {
        size_t best = 0, base = pixel * stride;
        for (size_t one = 1; one < classes; one++)
            best = values[base + one * step] > values[base + best * step] ? one : best;
        values[base] = classes == 1 ? (float)(values[base] > bound) : (float)best;
    }
}

static int finish(struct worker *worker, const struct outputs *outputs, struct fault *fault)
{
    size_t shape[MAX_AXES], axes = 0, count = 0;
    float *values = session_result(&worker->session, outputs, shape, &axes, &count, fault);
    if (values == NULL)
        return 0;
    if (strcmp(worker->job.task, "segmentation") == 0)
        mask(values, shape, axes, strcmp(worker->model->answer, "logits") == 0 ? 0 : 0.5f);
    else if (strcmp(worker->job.task, "multilabel") == 0)
        several(values, count, worker->model->answer);
    else if (count)
        label(values, count, worker->model->answer);
    free(values);
    return 1;
}

/* Takes one image through all three parts and adds their times. */
static int once(struct worker *worker, size_t index, void *buffer, int64_t *row, struct fault *fault)
{
    struct outputs outputs = {{0}};
    int64_t began = now_ns();
    images_prepare(&worker->images, index, worker->input, worker->session.type, buffer);
    struct input *input = worker_input(worker, buffer, 1, fault);
    int64_t prepared = now_ns();
    if (input == NULL)
        return 0;
    int good = session_call(&worker->session, input, &outputs, fault);
    int64_t inferred = now_ns();
    good = good && finish(worker, &outputs, fault);
    int64_t ended = now_ns();
    session_release(&worker->session, &outputs);
    session_unbind(&worker->session, input);
    row[0] = prepared - began, row[1] = inferred - prepared, row[2] = ended - inferred;
    return good;
}

static int save(const struct worker *worker, const int64_t *rows, size_t count, struct fault *fault)
{
    char *path = formatted("%s.parts.npy", worker->stem);
    size_t shape[] = {count, COLUMNS};
    int good = npy_write(path, "<i8", shape, 2, rows, count * COLUMNS * sizeof *rows);
    if (!good)
        fail(fault, ERROR_DISK, "%s: %s", path, strerror(errno));
    free(path);
    return good;
}

int worker_parts(struct worker *worker, const struct json *request, struct fault *fault)
{
    size_t minimum = (size_t)worker_asked(request, "minimum"), count = 0;
    size_t frames = worker->images.count < TIMED_INPUTS ? worker->images.count : TIMED_INPUTS;
    void *buffer = need(images_bytes(&worker->images, worker->session.type));
    int64_t *rows = NULL, sum = 0, end = now_ns() + (int64_t)(worker_asked(request, "duration_s") * 1e9);
    int good = 1;
    while (good && (count == 0 || count < minimum || now_ns() < end)) {
        rows = need_again(rows, (count + 1) * COLUMNS * sizeof *rows);
        good = once(worker, count % frames, buffer, rows + count * COLUMNS, fault);
        count += (size_t)good;
    }
    for (size_t i = 0; i < count * COLUMNS; i++)
        sum += rows[i];
    good = good && save(worker, rows, count, fault);
    text_add(&worker->answer, "{\"count\": %zu, \"ns\": %lld}", count, (long long)sum);
    free(rows);
    free(buffer);
    return good;
}
