/* onnxruntime: .onnx models through libonnxruntime.so. */
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

#include "onnxruntime.h"
#include "onnxruntime_api.h"

/* A loaded model, as its session holds it. */
struct held {
    const struct OrtApi *api;
    void *handle, *memory;
    char *input;
};

static int create(struct session *session, struct held *held, const struct loading *how, struct fault *fault)
{
    const struct onnxruntime *library = session->runtime->library;
    const struct OrtApi *api = library->api;
    void *options = NULL;
    int made = onnxruntime_good(api, api->CreateSessionOptions(&options), ERROR_MODEL, fault) &&
               onnxruntime_good(api, api->SetIntraOpNumThreads(options, how->threads), ERROR_MODEL, fault) &&
               onnxruntime_good(api, api->SetInterOpNumThreads(options, 1), ERROR_MODEL, fault) &&
               onnxruntime_accelerate(library, how, options, &session->accelerator, fault) &&
               (!how->trace ||
                onnxruntime_good(api, api->EnableProfiling(options, how->trace), ERROR_MODEL, fault)) &&
               onnxruntime_good(api, api->CreateSession(library->environment, how->path, options, &held->handle),
                                ERROR_MODEL, fault);
    if (options)
        api->ReleaseSessionOptions(options);
    return made;
}

static int read_input_type(struct session *session, const struct held *held, struct fault *fault)
{
    const struct OrtApi *api = held->api;
    void *info = NULL;
    const void *tensor = NULL;
    int type = 0;
    int known = onnxruntime_good(api, api->SessionGetInputTypeInfo(held->handle, 0, &info), ERROR_MODEL, fault) &&
                onnxruntime_good(api, api->CastTypeInfoToTensorInfo(info, &tensor), ERROR_MODEL, fault);
    if (known && tensor == NULL)
        known = fail(fault, ERROR_MODEL, "the model's input is no tensor");
    known = known && onnxruntime_good(api, api->GetTensorElementType(tensor, &type), ERROR_MODEL, fault) &&
            onnxruntime_good(api, api->GetDimensionsCount(tensor, &session->axes), ERROR_MODEL, fault);
    if (known && session->axes > MAX_AXES)
        known = fail(fault, ERROR_MODEL, "the model's input has %zu axes", session->axes);
    known = known &&
            onnxruntime_good(api, api->GetDimensions(tensor, session->shape, session->axes), ERROR_MODEL, fault);
    if (info)
        api->ReleaseTypeInfo(info);
    session->type = (enum element)type;
    return known && images_make(session->type, fault);
}

static int read_names(struct session *session, struct held *held, struct fault *fault)
{
    const struct OrtApi *api = held->api;
    void *allocator = NULL;
    size_t inputs = 0;
    if (!onnxruntime_good(api, api->GetAllocatorWithDefaultOptions(&allocator), ERROR_MODEL, fault) ||
        !onnxruntime_good(api, api->SessionGetInputCount(held->handle, &inputs), ERROR_MODEL, fault) ||
        !onnxruntime_good(api, api->SessionGetOutputCount(held->handle, &session->outputs), ERROR_MODEL, fault))
        return 0;
    if (inputs != 1)
        return fail(fault, ERROR_INPUT, "the model has %zu inputs; export it with the image as its only input", inputs);
    if (session->outputs == 0 || session->outputs > MAX_OUTPUTS)
        return fail(fault, ERROR_MODEL, "the model has %zu outputs; 1 to %d are supported", session->outputs,
                    MAX_OUTPUTS);
    for (size_t i = 0; i < session->outputs; i++)
        if (!onnxruntime_good(api, api->SessionGetOutputName(held->handle, i, allocator, &session->output[i]),
                              ERROR_MODEL, fault))
            return 0;
    return onnxruntime_good(api, api->SessionGetInputName(held->handle, 0, allocator, &held->input), ERROR_MODEL,
                            fault);
}

static int load(struct session *session, const struct loading *how, struct fault *fault)
{
    const struct OrtApi *api = ((const struct onnxruntime *)session->runtime->library)->api;
    struct held *held = need(sizeof *held);
    *held = (struct held){.api = api};
    session->model = held;
    return create(session, held, how, fault) && read_names(session, held, fault) &&
           read_input_type(session, held, fault) &&
           onnxruntime_good(api, api->CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &held->memory),
                            ERROR_MODEL, fault);
}

/* A session with a provider that cannot be had is not created. */
static int holds(struct session *session, const struct loading *how, struct fault *fault)
{
    (void)session, (void)how, (void)fault;
    return 1;
}

static int nodes(const struct session *session, struct text *target, struct fault *fault)
{
    const struct held *held = session->model;
    return onnxruntime_nodes(held->api, held->handle, target, fault);
}

/* The names of operators on such integers are in the model's file. */
static int quantised(const struct session *session)
{
    static const char *const marks[] = {"QuantizeLinear", "QLinear", "ConvInteger", "MatMulInteger", "MatMulNBits"};
    return file_holds(session->path, marks, sizeof marks / sizeof *marks);
}

static struct input *bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                          struct fault *fault)
{
    const struct held *held = session->model;
    struct OrtValue *value = NULL;
    status given = held->api->CreateTensorWithDataAsOrtValue(held->memory, data, bytes, shape, 4, (int)session->type,
                                                             &value);
    return onnxruntime_good(held->api, given, ERROR_INFERENCE, fault) ? (struct input *)value : NULL;
}

static void unbind(const struct session *session, struct input *input)
{
    ((const struct held *)session->model)->api->ReleaseValue((struct OrtValue *)input);
}

static int call(const struct session *session, const struct input *input, struct outputs *outputs,
                struct fault *fault)
{
    const struct held *held = session->model;
    const char *const names[] = {held->input};
    const struct OrtValue *const values[] = {(const struct OrtValue *)input};
    struct OrtValue *given[MAX_OUTPUTS];
    memset(given, 0, session->outputs * sizeof *given);
    status done = held->api->Run(held->handle, NULL, names, values, 1, (const char *const *)session->output,
                                 session->outputs, given);
    for (size_t i = 0; i < session->outputs; i++)
        outputs->value[i] = given[i];
    return onnxruntime_good(held->api, done, ERROR_INFERENCE, fault);
}

static void release(const struct session *session, struct outputs *outputs)
{
    for (size_t i = 0; i < session->outputs; i++)
        if (outputs->value[i])
            ((const struct held *)session->model)->api->ReleaseValue(outputs->value[i]);
}

static int read_output(const struct session *session, const struct outputs *outputs, size_t place,
                       struct tensor *tensor, struct fault *fault)
{
    const struct OrtApi *api = ((const struct held *)session->model)->api;
    struct OrtValue *value = outputs->value[place];
    void *info = NULL, *data = NULL;
    int type = 0;
    if (!onnxruntime_good(api, api->GetTensorTypeAndShape(value, &info), ERROR_INFERENCE, fault))
        return 0;
    int known = onnxruntime_good(api, api->GetTensorElementType(info, &type), ERROR_INFERENCE, fault) &&
                onnxruntime_good(api, api->GetDimensionsCount(info, &tensor->axes), ERROR_INFERENCE, fault);
    if (known && tensor->axes > MAX_AXES)
        known = fail(fault, ERROR_INFERENCE, "the model's output has %zu axes", tensor->axes);
    known = known && onnxruntime_good(api, api->GetDimensions(info, tensor->shape, tensor->axes), ERROR_INFERENCE,
                                      fault) &&
            onnxruntime_good(api, api->GetTensorMutableData(value, &data), ERROR_INFERENCE, fault);
    api->ReleaseTensorTypeAndShapeInfo(info);
    tensor->type = (enum element)type;
    tensor->data = data;
    return known;
}

const struct runtime_kind RUNTIME_ONNXRUNTIME = {
    .name = "onnxruntime", .open = onnxruntime_open, .facts = onnxruntime_facts, .offers = onnxruntime_offers,
    .load = load, .holds = holds, .nodes = nodes, .quantised = quantised, .bind = bind, .unbind = unbind,
    .call = call, .release = release, .read = read_output,
};
