/* What ran a model's nodes, and which of its tensors hold integers. */
#include <stdlib.h>
#include <string.h>

#include "litert.h"

/* The node that stands for all those that XNNPACK took over. */
static const char DELEGATE[] = "TfLiteXNNPackDelegate";

/* Counts the events of nodes of the main subgraph that the built-in kernels ran. */
static size_t builtin_of(const struct litert_event *events, int count, size_t subgraph)
{
    size_t ran = 0;
    for (int i = 0; i < count; i++)
        ran += events[i].kind == LITERT_NODE_RAN && events[i].subgraph == subgraph &&
               strcmp(events[i].tag, DELEGATE) != 0;
    return ran;
}

int litert_count(const struct litert_model *model, size_t *xnnpack, size_t *builtin, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    struct litert_event *events = NULL;
    size_t all = 0, subgraph = 0;
    int count = 0;
    int64_t log = litert_log_end();
    int good = litert_good(api->StopProfiler(model->profiler), ERROR_MODEL, "StopProfiler", log, fault) &&
               litert_good(api->GetNumProfilerEvents(model->profiler, &count), ERROR_MODEL, "GetNumProfilerEvents", log,
                           fault) &&
               litert_good(api->GetMainModelSubgraphIndex(model->file, &subgraph), ERROR_MODEL,
                           "GetMainModelSubgraphIndex", log, fault) &&
               litert_good(api->GetNumSubgraphOps(model->subgraph, &all), ERROR_MODEL, "GetNumSubgraphOps", log, fault);
    if (good && count > 0) {
        events = need((size_t)count * sizeof *events);
        good = litert_good(api->GetProfilerEvents(model->profiler, count, events), ERROR_MODEL, "GetProfilerEvents",
                           log, fault);
    }
    if (good && count == 0)
        good = fail(fault, ERROR_MODEL, "the runtime does not say what ran the nodes");
    *builtin = good ? builtin_of(events, count, subgraph) : 0;
    if (good && *builtin > all)
        good = fail(fault, ERROR_MODEL, "the runtime names %zu nodes of the model's %zu", *builtin, all);
    *xnnpack = good ? all - *builtin : 0;
    free(events);
    return good;
}

static int has_scale(const struct litert_api *api, void *tensor)
{
    int kind = LITERT_NOT_QUANTISED;
    return tensor && api->GetQuantizationTypeId(tensor, &kind) == 0 && kind != LITERT_NOT_QUANTISED;
}

/* Whether an operator takes or gives such a tensor; what it leaves out is no tensor. */
static int is_quantised(const struct litert_api *api, void *op)
{
    size_t inputs = 0, outputs = 0;
    void *tensor = NULL;
    api->GetNumOpInputs(op, &inputs);
    api->GetNumOpOutputs(op, &outputs);
    for (size_t i = 0; i < inputs; i++)
        if (api->GetOpInput(op, i, &tensor) == 0 && has_scale(api, tensor))
            return 1;
    for (size_t i = 0; i < outputs; i++)
        if (api->GetOpOutput(op, i, &tensor) == 0 && has_scale(api, tensor))
            return 1;
    return 0;
}

int litert_quantised(const struct litert_model *model)
{
    const struct litert_api *api = &model->library->api;
    size_t ops = 0;
    void *op = NULL;
    api->GetNumSubgraphOps(model->subgraph, &ops);
    for (size_t i = 0; i < ops; i++)
        if (api->GetSubgraphOp(model->subgraph, i, &op) == 0 && is_quantised(api, op))
            return 1;
    return 0;
}

struct litert_scale litert_scale_of(const struct litert *library, void *tensor)
{
    struct litert_scale found = {0};
    int kind = LITERT_NOT_QUANTISED;
    if (library->api.GetQuantizationTypeId(tensor, &kind) != 0 || kind != LITERT_PER_TENSOR ||
        library->api.GetPerTensorQuantization(tensor, &found) != 0)
        return (struct litert_scale){0};
    return found;
}
