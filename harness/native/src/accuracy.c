#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* Infers image `index` and writes its output; the first one decides what the header says of all. */
static int write_output(struct worker *worker, size_t index, void *buffer, const struct input *input, FILE *file,
                        size_t *size, struct fault *fault)
{
    images_prepare(&worker->images, index, worker->input, worker->session.type, buffer);
    struct outputs outputs;
    size_t shape[MAX_AXES] = {worker->images.count}, axes = 0, count = 0;
    float *values = NULL;
    if (session_call(&worker->session, input, &outputs, fault))
        values = session_result(&worker->session, &outputs, shape + 1, &axes, &count, fault);
    session_release(&worker->session, &outputs);
    if (values == NULL)
        return 0;
    int good = index > 0 || npy_header(file, "<f4", shape, axes + 1);
    *size = index > 0 ? *size : count;
    good = good && fwrite(values, sizeof *values, count, file) == count;
    if (!good)
        fail(fault, ERROR_DISK, "the outputs cannot be written: %s", strerror(errno));
    else if (*size != count)
        good = fail(fault, ERROR_INFERENCE, "output %zu has another shape than the first", index);
    free(values);
    return good;
}

static int write_outputs(struct worker *worker, FILE *file, struct fault *fault)
{
    void *buffer = need(images_bytes(&worker->images, worker->session.type));
    struct input *input = worker_input(worker, buffer, 1, fault);
    size_t size = 0;
    int good = input != NULL;
    for (size_t i = 0; good && i < worker->images.count; i++)
        good = write_output(worker, i, buffer, input, file, &size, fault);
    if (input)
        session_unbind(&worker->session, input);
    free(buffer);
    return good;
}

/* Infers every sample of the split and writes the raw outputs, float32, in the split's order. */
int worker_accuracy(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    char *part = formatted("%s.part", worker->stem), *path = formatted("%s.outputs.npy", worker->stem);
    int64_t started = now_ns();
    FILE *file = fopen(part, "wbe");
    int good = file ? write_outputs(worker, file, fault)
                    : fail(fault, ERROR_DISK, "the outputs cannot be written: %s", strerror(errno));
    int64_t elapsed = now_ns() - started;
    if (file && fclose(file) != 0 && good)
        good = fail(fault, ERROR_DISK, "the outputs cannot be written: %s", strerror(errno));
    if (good && rename(part, path) != 0)
        good = fail(fault, ERROR_DISK, "%s: %s", path, strerror(errno));
    free(part);
    free(path);
    int quantised = good && worker->runtime.kind->quantised(&worker->session);
    text_add(&worker->answer, "{\"samples\": %zu, \"ns\": %lld, \"quantised\": %s}", worker->images.count,
             (long long)elapsed, quantised ? "true" : "false");
    return good;
}
