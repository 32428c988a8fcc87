#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

static const struct {
    const char *name;
    int (*run)(struct worker *, const struct json *, struct fault *);
} VERBS[] = {
    {"load", worker_load},   {"first", worker_first},       {"warm", worker_warm},     {"round", worker_round},
    {"spin", worker_spin},   {"accuracy", worker_accuracy}, {"memory", worker_memory},
    {"placement", worker_placement}, {"parts", worker_parts}, {"stream", worker_stream},
};

static const char *libc_version(void)
{
#ifdef __GLIBC__
    return gnu_get_libc_version();
#else
    return "of the device";
#endif
}

static int open_worker(struct worker *worker, const char *folder, const char *index, struct fault *fault)
{
    worker->job = job_read(folder);
    size_t place = strtoul(index, NULL, 10);
    if (place >= worker->job.models)
        return fail(fault, ERROR_RUNTIME, "the job has no model %s", index);
    worker->model = &worker->job.model[place];
    worker->input = worker->model->input ? worker->model->input : &worker->job.input;
    worker->stem = formatted("%s/m%zu", folder, place);
    const struct runtime_kind *kind = runtime_kind(worker->model->runtime);
    if (kind == NULL)
        return fail(fault, ERROR_RUNTIME, "the native runner has no runtime %s", worker->model->runtime);
    if (worker->model->labels)
        return fail(fault, ERROR_INPUT, "the native runner reads no texts and no maps; export the model with tensors");
    if (worker->model->constants)
        return fail(fault, ERROR_INPUT, "the native runner feeds one input; export the model with the image alone");
    return runtime_open(&worker->runtime, kind, worker->model->runtime_path, fault);
}

static void say_ready(struct worker *worker)
{
    text_add(&worker->answer, "{\"ready_ns\": %lld, \"facts\": {", (long long)now_ns());
    worker->runtime.kind->facts(&worker->runtime, &worker->answer);
    text_add(&worker->answer, ", \"libc\": ");
    text_string(&worker->answer, libc_version());
    text_add(&worker->answer, "}}");
}

static void answer(FILE *answers, struct worker *worker, int good, const struct fault *fault)
{
    if (!good) {
        text_clear(&worker->answer);
        text_add(&worker->answer, "{\"error\": \"%s\", \"message\": ", fault->kind);
        text_string(&worker->answer, fault->message);
        text_add(&worker->answer, "}");
    }
    fprintf(answers, "%s\n", worker->answer.data);
    fflush(answers);
    text_clear(&worker->answer);
}

/* Does what a line asks for; -1 when it asks to quit. */
static int serve(struct worker *worker, const char *line, struct fault *fault)
{
    const char *wrong = "";
    struct json *request = json_parse(line, &wrong);
    const struct json *verb = json_get(request, "do");
    int good = 0, loads = 0;
    if (verb == NULL || verb->kind != JSON_STRING)
        fail(fault, ERROR_INFERENCE, "a request was not understood");
    else if (strcmp(verb->string, "quit") == 0)
        good = -1;
    else {
        fail(fault, ERROR_INFERENCE, "unknown request %s", verb->string);
        for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
            if (strcmp(VERBS[i].name, verb->string) == 0)
                good = VERBS[i].run(worker, request, fault);
        loads = strcmp(verb->string, "load") == 0 || strcmp(verb->string, "placement") == 0;
    }
    /* What goes wrong in loading may be the accelerator's fault as well as the model's. */
    int model = strcmp(fault->kind, ERROR_MODEL) == 0 || strcmp(fault->kind, ERROR_INFERENCE) == 0;
    if (good == 0 && loads && model && *worker->job.accelerator)
        snprintf(fault->kind, sizeof fault->kind, ERROR_ACCELERATOR);
    json_free(request);
    return good;
}

int worker_main(const char *folder, const char *index)
{
    /* A runtime that prints to standard output must not garble an answer. */
    FILE *answers = fdopen(dup(1), "w");
    dup2(2, 1);
    struct worker worker = {0};
    struct fault fault = {0};
    int good = answers && open_worker(&worker, folder, index, &fault);
    if (good)
        say_ready(&worker);
    answer(answers, &worker, good, &fault);
    char *line = NULL;
    size_t room = 0;
    while (good && getline(&line, &room, stdin) > 0) {
        int done = serve(&worker, line, &fault);
        if (done < 0)
            break;
        answer(answers, &worker, done, &fault);
    }
    /* Tearing a runtime down takes longer than a round; everything that counts is written. */
    _exit(0);
}
