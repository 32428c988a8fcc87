/* LiteRT: .tflite models through libLiteRt.so. What is timed is what the agent times: the input copied in, the model
 * run, every output copied out. */
#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "litert.h"

struct input {
    const void *data;
    size_t bytes;
};

static void facts(const struct runtime *runtime, struct text *target)
{
    text_add(target, "\"runtime\": \"ai-edge-litert\", \"runtime_version\": ");
    text_string(target, ((const struct litert *)runtime->library)->version);
    text_add(target, ", \"accelerator\": \"XNNPACK (CPU)\"");
}

static int offers(const struct runtime *runtime, struct text *target, struct fault *fault)
{
    (void)runtime, (void)fault;
    text_add(target, "[\"" LITERT_XNNPACK "\"]");
    return 1;
}

static struct input *bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                          struct fault *fault)
{
    const struct litert_model *model = session->model;
    (void)shape;
    if (bytes != model->input_bytes) {
        fail(fault, ERROR_INPUT, "the model takes %zu bytes and is given %zu", model->input_bytes, bytes);
        return NULL;
    }
    struct input *input = need(sizeof *input);
    *input = (struct input){data, bytes};
    return input;
}

static void unbind(const struct session *session, struct input *input)
{
    (void)session;
    free(input);
}

static int call(const struct session *session, const struct input *input, struct outputs *outputs,
                struct fault *fault)
{
    const struct litert_model *model = session->model;
    void *given[] = {model->input}, *made[MAX_OUTPUTS];
    memset(outputs->value, 0, session->outputs * sizeof *outputs->value);
    memcpy(made, model->output, session->outputs * sizeof *made);
    memcpy(model->input_memory, input->data, input->bytes);
    int status = model->library->api.RunCompiledModel(model->compiled, model->signature, 1, given, session->outputs,
                                                      made);
    if (status != 0)
        return litert_good(status, ERROR_INFERENCE, "RunCompiledModel", model->log, fault);
    for (size_t i = 0; i < session->outputs; i++) {
        outputs->value[i] = need(model->output_bytes[i]);
        memcpy(outputs->value[i], model->output_memory[i], model->output_bytes[i]);
    }
    return 1;
}

static void release(const struct session *session, struct outputs *outputs)
{
    for (size_t i = 0; i < session->outputs; i++)
        free(outputs->value[i]);
}

static int read_output(const struct session *session, const struct outputs *outputs, size_t place,
                       struct tensor *tensor, struct fault *fault)
{
    (void)fault;
    *tensor = ((const struct litert_model *)session->model)->seen[place];
    tensor->data = outputs->value[place];
    return 1;
}

/* The exit codes of the process that looks. */
enum { SOME = 0, NONE = 1, UNSEEN = 2 };

/* Runs another session, with a trace, once on zeros, and says whether XNNPACK ran some node. */
static int look(const struct session *session, const struct loading *how)
{
    struct fault fault = {0};
    struct loading traced = *how;
    struct session other = {.runtime = session->runtime, .path = how->path};
    struct outputs outputs = {{0}};
    size_t xnnpack = 0, builtin = 0;
    traced.trace = "";
    if (!litert_load(&other, &traced, &fault))
        return UNSEEN;
    const struct litert_model *model = other.model;
    struct input zeros = {calloc(1, model->input_bytes), model->input_bytes};
    if (zeros.data == NULL || !call(&other, &zeros, &outputs, &fault) ||
        !litert_count(model, &xnnpack, &builtin, &fault))
        return UNSEEN;
    return xnnpack ? SOME : NONE;
}

/* The library says whether all nodes are XNNPACK's. Whether some are shows a trace alone, whose memory must not be this
 * process's: it is measured. */
static int holds(struct session *session, const struct loading *how, struct fault *fault)
{
    const struct litert_model *model = session->model;
    bool all = false;
    if (strcmp(how->accelerator, LITERT_XNNPACK) != 0)
        return 1;
    int status = model->library->api.CompiledModelIsFullyAccelerated(model->compiled, &all);
    if (!litert_good(status, ERROR_MODEL, "CompiledModelIsFullyAccelerated", -1, fault))
        return 0;
    int code = SOME;
    if (!all) {
        pid_t looking = fork();
        if (looking == 0)
            _exit(look(session, how));
        if (looking < 0 || waitpid(looking, &code, 0) != looking)
            return fail(fault, ERROR_MODEL, "no process could be made to see what XNNPACK runs");
        code = WIFEXITED(code) ? WEXITSTATUS(code) : UNSEEN;
    }
    if (code == SOME)
        session->accelerator = LITERT_XNNPACK;
    return code != UNSEEN ? 1 : fail(fault, ERROR_MODEL, "it could not be seen what XNNPACK runs");
}

/* As the agent says it: a kind of kernel that runs no node is left out. */
static int nodes(const struct session *session, struct text *target, struct fault *fault)
{
    size_t xnnpack = 0, builtin = 0;
    if (!litert_count(session->model, &xnnpack, &builtin, fault))
        return 0;
    text_add(target, "{");
    if (xnnpack)
        text_add(target, "\"" LITERT_XNNPACK "\": %zu", xnnpack);
    if (builtin)
        text_add(target, "%s\"builtin kernels (CPU)\": %zu", xnnpack ? ", " : "", builtin);
    text_add(target, "}");
    return 1;
}

static int quantised(const struct session *session)
{
    return litert_quantised(session->model);
}

const struct runtime_kind RUNTIME_LITERT = {
    .name = "litert", .one_at_a_time = 1, .open = litert_open, .facts = facts, .offers = offers, .load = litert_load,
    .holds = holds,
    .nodes = nodes, .quantised = quantised, .bind = bind, .unbind = unbind, .call = call, .release = release,
    .read = read_output,
};
