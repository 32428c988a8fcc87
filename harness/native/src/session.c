#include "session.h"

#include <stdlib.h>
#include <string.h>

int session_open(struct session *session, const struct runtime *runtime, const struct loading *how,
                 struct fault *fault)
{
    *session = (struct session){.runtime = runtime, .path = how->path, .accelerator = ""};
    return runtime->kind->load(session, how, fault);
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

struct input *session_bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                           struct fault *fault)
{
    return session->runtime->kind->bind(session, data, bytes, shape, fault);
}

void session_unbind(const struct session *session, struct input *input)
{
    session->runtime->kind->unbind(session, input);
}

int session_call(const struct session *session, const struct input *input, struct outputs *outputs,
                 struct fault *fault)
{
    return session->runtime->kind->call(session, input, outputs, fault);
}

void session_release(const struct session *session, struct outputs *outputs)
{
    session->runtime->kind->release(session, outputs);
}

/* Converts `count` elements as numpy's astype("float32") does; 0 for a type that is no number. */
static int to_floats(const void *data, enum element type, size_t count, float *target)
{
    for (size_t i = 0; i < count; i++)
        switch (type) {
        case FLOAT32: target[i] = ((const float *)data)[i]; break;
        case UINT8: target[i] = (float)((const uint8_t *)data)[i]; break;
        case INT8: target[i] = (float)((const int8_t *)data)[i]; break;
        case UINT16: target[i] = (float)((const uint16_t *)data)[i]; break;
        case INT16: target[i] = (float)((const int16_t *)data)[i]; break;
        case INT32: target[i] = (float)((const int32_t *)data)[i]; break;
        case INT64: target[i] = (float)((const int64_t *)data)[i]; break;
        case BOOL: target[i] = (float)(((const uint8_t *)data)[i] != 0); break;
        case FLOAT16: target[i] = float_of_half(((const uint16_t *)data)[i]); break;
        case FLOAT64: target[i] = (float)((const double *)data)[i]; break;
        default: return 0;
        }
    return 1;
}

/* Makes integers what they stand for; a scale of 0 leaves them. */
static void dequantise(float *values, size_t count, float scale, float zero_point)
{
    for (size_t i = 0; scale != 0 && i < count; i++)
        values[i] = (values[i] - zero_point) * scale;
}

float *session_result(const struct session *session, const struct outputs *outputs, size_t *shape, size_t *axes,
                      size_t *count, struct fault *fault)
{
    struct tensor seen = {0};
    if (!session->runtime->kind->read(session, outputs, session->judged, &seen, fault))
        return NULL;
    if (seen.axes == 0) {
        fail(fault, ERROR_INFERENCE, "the model's output has 0 axes; the first must be the batch");
        return NULL;
    }
    *axes = seen.axes - 1;
    *count = 1;
    for (size_t i = 1; i < seen.axes; i++)
        *count *= shape[i - 1] = (size_t)seen.shape[i];
    float *made = need(*count * sizeof *made);
    if (to_floats(seen.data, seen.type, *count, made)) {
        dequantise(made, *count, seen.scale, seen.zero_point);
        dequantise(made, *count, session->scale, session->zero_point);
        return made;
    }
    free(made);
    fail(fault, ERROR_INFERENCE, "the model's output is %s, of which no float32 is made", element_name(seen.type));
    return NULL;
}
