#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accelerate.h"
#include "json.h"
#include "onnxruntime_api.h"

static int create(struct session *session, const struct runtime *runtime, const struct loading *how,
                  struct fault *fault)
{
    const struct OrtApi *api = runtime->api;
    void *options = NULL;
    int made = runtime_good(api, api->CreateSessionOptions(&options), ERROR_MODEL, fault) &&
               runtime_good(api, api->SetIntraOpNumThreads(options, how->threads), ERROR_MODEL, fault) &&
               runtime_good(api, api->SetInterOpNumThreads(options, 1), ERROR_MODEL, fault) &&
               accelerate(runtime, how->accelerator, how->threads, options, &session->accelerator, fault) &&
               (!how->trace || runtime_good(api, api->EnableProfiling(options, how->trace), ERROR_MODEL, fault)) &&
               runtime_good(api, api->CreateSession(runtime->environment, how->path, options, &session->handle),
                            ERROR_MODEL, fault);
    if (options)
        api->ReleaseSessionOptions(options);
    return made;
}

static int read_input_type(struct session *session, struct fault *fault)
{
    const struct OrtApi *api = session->api;
    void *info = NULL;
    const void *tensor = NULL;
    int type = 0;
    int known = runtime_good(api, api->SessionGetInputTypeInfo(session->handle, 0, &info), ERROR_MODEL, fault) &&
                runtime_good(api, api->CastTypeInfoToTensorInfo(info, &tensor), ERROR_MODEL, fault);
    if (known && tensor == NULL)
        known = fail(fault, ERROR_MODEL, "the model's input is no tensor");
    known = known && runtime_good(api, api->GetTensorElementType(tensor, &type), ERROR_MODEL, fault) &&
            runtime_good(api, api->GetDimensionsCount(tensor, &session->axes), ERROR_MODEL, fault);
    if (known && session->axes > MAX_AXES)
        known = fail(fault, ERROR_MODEL, "the model's input has %zu axes", session->axes);
    known = known && runtime_good(api, api->GetDimensions(tensor, session->shape, session->axes), ERROR_MODEL, fault);
    if (info)
        api->ReleaseTypeInfo(info);
    session->type = (enum element)type;
    if (known && type != FLOAT32 && type != FLOAT16 && type != UINT8 && type != INT8)
        return fail(fault, ERROR_MODEL,
                    "the model's input is ONNX type %d; float, float16, uint8 and int8 are supported", type);
    return known;
}

static int read_names(struct session *session, struct fault *fault)
{
    const struct OrtApi *api = session->api;
    void *allocator = NULL;
    size_t inputs = 0;
    if (!runtime_good(api, api->GetAllocatorWithDefaultOptions(&allocator), ERROR_MODEL, fault) ||
        !runtime_good(api, api->SessionGetInputCount(session->handle, &inputs), ERROR_MODEL, fault) ||
        !runtime_good(api, api->SessionGetOutputCount(session->handle, &session->outputs), ERROR_MODEL, fault))
        return 0;
    if (inputs != 1)
        return fail(fault, ERROR_MODEL, "the model has %zu inputs; models with one input are supported", inputs);
    if (session->outputs == 0 || session->outputs > MAX_OUTPUTS)
        return fail(fault, ERROR_MODEL, "the model has %zu outputs; 1 to %d are supported", session->outputs,
                    MAX_OUTPUTS);
    for (size_t i = 0; i < session->outputs; i++)
        if (!runtime_good(api, api->SessionGetOutputName(session->handle, i, allocator, &session->output[i]),
                          ERROR_MODEL, fault))
            return 0;
    return runtime_good(api, api->SessionGetInputName(session->handle, 0, allocator, &session->input), ERROR_MODEL,
                        fault);
}

int session_open(struct session *session, const struct runtime *runtime, const struct loading *how,
                 struct fault *fault)
{
    const struct OrtApi *api = runtime->api;
    *session = (struct session){.api = api, .accelerator = ""};
    return create(session, runtime, how, fault) && read_names(session, fault) &&
           read_input_type(session, fault) &&
           runtime_good(api, api->CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &session->memory),
                        ERROR_MODEL, fault);
}

int session_judge(struct session *session, const char *name, double scale, double zero_point, struct fault *fault)
{
    session->scale = (float)scale;
    session->zero_point = (float)zero_point;
    for (size_t i = 0; *name && i < session->outputs; i++)
        if (strcmp(session->output[i], name) == 0) {
            session->judged = i;
            return 1;
        }
    return *name ? fail(fault, ERROR_MODEL, "the model has no output %s", name) : 1;
}

struct OrtValue *session_bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                              struct fault *fault)
{
    struct OrtValue *value = NULL;
    status given = session->api->CreateTensorWithDataAsOrtValue(session->memory, data, bytes, shape, 4,
                                                                (int)session->type, &value);
    return runtime_good(session->api, given, ERROR_INFERENCE, fault) ? value : NULL;
}

void session_unbind(const struct session *session, struct OrtValue *input)
{
    session->api->ReleaseValue(input);
}

int session_call(const struct session *session, const struct OrtValue *input, struct outputs *outputs,
                 struct fault *fault)
{
    const char *const names[] = {session->input};
    const struct OrtValue *const values[] = {input};
    memset(outputs->value, 0, session->outputs * sizeof *outputs->value);
    status given = session->api->Run(session->handle, NULL, names, values, 1, (const char *const *)session->output,
                                     session->outputs, outputs->value);
    return runtime_good(session->api, given, ERROR_INFERENCE, fault);
}

void session_release(const struct session *session, struct outputs *outputs)
{
    for (size_t i = 0; i < session->outputs; i++)
        if (outputs->value[i])
            session->api->ReleaseValue(outputs->value[i]);
}

/* Converts `count` elements of ONNX type `type` as numpy's astype("float32") does; 0 for a type that is not known. */
static int to_floats(const void *data, int type, size_t count, float *target)
{
    for (size_t i = 0; i < count; i++)
        switch (type) {
        case 1: target[i] = ((const float *)data)[i]; break;
        case 2: target[i] = (float)((const uint8_t *)data)[i]; break;
        case 3: target[i] = (float)((const int8_t *)data)[i]; break;
        case 4: target[i] = (float)((const uint16_t *)data)[i]; break;
        case 5: target[i] = (float)((const int16_t *)data)[i]; break;
        case 6: target[i] = (float)((const int32_t *)data)[i]; break;
        case 7: target[i] = (float)((const int64_t *)data)[i]; break;
        case 9: target[i] = (float)(((const uint8_t *)data)[i] != 0); break;
        case 10: target[i] = float_of_half(((const uint16_t *)data)[i]); break;
        case 11: target[i] = (float)((const double *)data)[i]; break;
        default: return 0;
        }
    return 1;
}

float *session_result(const struct session *session, const struct outputs *outputs, size_t *shape, size_t *axes,
                      size_t *count, struct fault *fault)
{
    const struct OrtApi *api = session->api;
    void *info = NULL, *data = NULL;
    int64_t sizes[MAX_AXES];
    size_t all = 0;
    int type = 0;
    struct OrtValue *judged = outputs->value[session->judged];
    if (!runtime_good(api, api->GetTensorTypeAndShape(judged, &info), ERROR_INFERENCE, fault))
        return NULL;
    int known = runtime_good(api, api->GetTensorElementType(info, &type), ERROR_INFERENCE, fault) &&
                runtime_good(api, api->GetDimensionsCount(info, &all), ERROR_INFERENCE, fault);
    if (known && (all == 0 || all > MAX_AXES))
        known = fail(fault, ERROR_INFERENCE, "the model's output has %zu axes; the first must be the batch", all);
    known = known && runtime_good(api, api->GetDimensions(info, sizes, all), ERROR_INFERENCE, fault) &&
            runtime_good(api, api->GetTensorMutableData(judged, &data), ERROR_INFERENCE, fault);
    api->ReleaseTensorTypeAndShapeInfo(info);
    if (!known)
        return NULL;
    *axes = all - 1;
    *count = 1;
    for (size_t i = 1; i < all; i++)
        *count *= shape[i - 1] = (size_t)sizes[i];
    float *made = need(*count * sizeof *made);
    if (to_floats(data, type, *count, made)) {
        for (size_t i = 0; session->scale != 0 && i < *count; i++)
            made[i] = (made[i] - session->zero_point) * session->scale;
        return made;
    }
    fail(fault, ERROR_INFERENCE, "the model's output is ONNX type %d, which is no number", type);
    return NULL;
}

/* Adds one to a provider's nodes. */
static void count_node(struct json *nodes, const char *provider)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (strcmp(nodes->keys[i], provider) == 0) {
            nodes->items[i].number++;
            return;
        }
    nodes->keys = need_again(nodes->keys, (nodes->count + 1) * sizeof *nodes->keys);
    nodes->items = need_again(nodes->items, (nodes->count + 1) * sizeof *nodes->items);
    nodes->keys[nodes->count] = copy_of(provider);
    nodes->items[nodes->count++] = (struct json){.kind = JSON_NUMBER, .number = 1};
}

/* Adds what ran the nodes, by the events of a trace. */
static void add_nodes(const struct json *events, struct text *target)
{
    struct json *nodes = need(sizeof *nodes);
    *nodes = (struct json){.kind = JSON_OBJECT};
    for (size_t i = 0; i < events->count; i++) {
        const struct json *provider = json_get(json_get(&events->items[i], "args"), "provider");
        if (provider && provider->kind == JSON_STRING)
            count_node(nodes, provider->string);
    }
    text_add(target, "{");
    for (size_t i = 0; i < nodes->count; i++) {
        text_add(target, i ? ", " : "");
        text_string(target, nodes->keys[i]);
        text_add(target, ": %.0f", nodes->items[i].number);
    }
    text_add(target, "}");
    json_free(nodes);
}

int session_nodes(const struct session *session, struct text *target, struct fault *fault)
{
    const struct OrtApi *api = session->api;
    void *allocator = NULL;
    char *path = NULL;
    const char *wrong = "";
    if (!runtime_good(api, api->GetAllocatorWithDefaultOptions(&allocator), ERROR_MODEL, fault) ||
        !runtime_good(api, api->SessionEndProfiling(session->handle, allocator, &path), ERROR_MODEL, fault))
        return 0;
    char *text = file_text(path);
    struct json *events = text ? json_parse(text, &wrong) : NULL;
    if (events)
        add_nodes(events, target);
    else
        fail(fault, ERROR_MODEL, "the trace %s cannot be read: %s", path, text ? "it is no JSON" : strerror(errno));
    unlink(path);
    int good = events != NULL;
    json_free(events);
    free(text);
    return good;
}
