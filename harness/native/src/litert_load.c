/* Loads a model into LiteRT, and finds out what it takes and gives. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "litert.h"

#define GOOD(call, name) litert_good(api->call, ERROR_MODEL, name, log, fault)

/* LiteRT's types in ONNX's numbers; 0 for one that is no number here. */
static enum element element_of(int type)
{
    static const struct {
        int litert;
        enum element element;
    } known[] = {{1, FLOAT32}, {2, INT32}, {3, UINT8},   {4, INT64},    {6, BOOL},
                 {7, INT16},   {9, INT8},  {10, FLOAT16}, {11, FLOAT64}, {17, UINT16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].litert == type)
            return known[i].element;
    return 0;
}

static size_t bytes_of(enum element type)
{
    return type == UINT8 || type == INT8 || type == BOOL                ? 1
           : type == FLOAT16 || type == UINT16 || type == INT16         ? 2
           : type == FLOAT64 || type == INT64                           ? 8
                                                                        : 4;
}

/* Adds options that are a text under a name of the runtime's. */
static int add_options(const struct litert_api *api, void *options, const char *name, char *text, struct fault *fault)
{
    int64_t log = litert_log_end();
    void *opaque = NULL;
    return GOOD(CreateOpaqueOptions(name, text, free, &opaque), "CreateOpaqueOptions") &&
           GOOD(AddOpaqueOptions(options, opaque), "AddOpaqueOptions");
}

/* Maps the model's file for as long as the process lives. The library would read a file itself as well, but then does
 * not look whether the file is whole, and a damaged one ends the process. */
static int map_file(struct litert_model *model, const char *path, struct fault *fault)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts = {0};
    if (file < 0 || fstat(file, &facts) != 0)
        return fail(fault, ERROR_MODEL, "%s cannot be read: %s", path, strerror(errno));
    model->size = (size_t)facts.st_size;
    model->mapped = model->size ? mmap(NULL, model->size, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    int good = model->mapped != MAP_FAILED ||
               fail(fault, ERROR_MODEL, "%s cannot be read: %s", path, model->size ? strerror(errno) : "it is empty");
    close(file);
    return good;
}

static int compile(struct litert_model *model, const struct loading *how, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    void *options = NULL;
    int made =
        map_file(model, how->path, fault) &&
        GOOD(CreateModelFromBuffer(model->library->environment, model->mapped, model->size, &model->file),
             "CreateModelFromBuffer") &&
        GOOD(CreateOptions(&options), "CreateOptions") &&
        GOOD(SetOptionsHardwareAccelerators(options, LITERT_CPU), "SetOptionsHardwareAccelerators") &&
        add_options(api, options, "xnnpack", formatted("num_threads = %d\n", how->threads), fault) &&
        (!how->trace ||
         add_options(api, options, "runtime_options_string", copy_of("enable_profiling = true\n"), fault)) &&
        GOOD(CreateCompiledModel(model->library->environment, model->file, options, &model->compiled),
             "CreateCompiledModel") &&
        (!how->trace ||
         (GOOD(CompiledModelGetProfiler(model->compiled, &model->profiler), "CompiledModelGetProfiler") &&
          GOOD(StartProfiler(model->profiler), "StartProfiler")));
    if (options)
        api->DestroyOptions(options);
    return made;
}

/* Finds the signature of the first subgraph, which is the one that the interpreter of the agent runs. */
static int find_signature(struct litert_model *model, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    size_t main = 0, count = 0;
    if (!GOOD(GetMainModelSubgraphIndex(model->file, &main), "GetMainModelSubgraphIndex") ||
        !GOOD(GetModelSubgraph(model->file, main, &model->subgraph), "GetModelSubgraph") ||
        !GOOD(GetNumModelSignatures(model->file, &count), "GetNumModelSignatures"))
        return 0;
    for (size_t i = 0; i < count; i++) {
        void *signature = NULL, *subgraph = NULL;
        if (!GOOD(GetModelSignature(model->file, i, &signature), "GetModelSignature") ||
            !GOOD(GetSignatureSubgraph(signature, &subgraph), "GetSignatureSubgraph"))
            return 0;
        if (subgraph == model->subgraph) {
            model->signature = i;
            return 1;
        }
    }
    return fail(fault, ERROR_MODEL, "none of the model's %zu signatures is of its first subgraph; export it with one",
                count);
}

/* Makes a buffer for a tensor whose sizes are all known. */
static int make_buffer(const struct litert_model *model, struct litert_type *type, const char *name, void **buffer,
                       void **memory, size_t *bytes, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    enum element element = element_of(type->element);
    if (element == 0)
        return fail(fault, ERROR_MODEL, "%s holds LiteRT's type %d, which is no number here", name, type->element);
    *bytes = bytes_of(element);
    for (size_t i = 0; i < type->layout.rank; i++) {
        if (type->layout.dimensions[i] <= 0)
            return fail(fault, ERROR_MODEL,
                        "%s has a size that is only known when the model runs; export it with fixed sizes", name);
        *bytes *= (size_t)type->layout.dimensions[i];
    }
    type->layout.has_strides = 0;
    return GOOD(CreateManagedTensorBuffer(model->library->environment, LITERT_HOST_MEMORY, type, *bytes, buffer),
                "CreateManagedTensorBuffer") &&
           GOOD(GetTensorBufferHostMemory(*buffer, memory), "GetTensorBufferHostMemory");
}

static int describe_input(struct session *session, struct litert_model *model, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    struct litert_type type;
    size_t inputs = 0;
    void *tensor = NULL;
    if (!GOOD(GetNumSubgraphInputs(model->subgraph, &inputs), "GetNumSubgraphInputs"))
        return 0;
    if (inputs != 1)
        return fail(fault, ERROR_MODEL, "the model has %zu inputs; models with one input are supported", inputs);
    if (!GOOD(GetSubgraphInput(model->subgraph, 0, &tensor), "GetSubgraphInput") ||
        !GOOD(GetRankedTensorType(tensor, &type), "GetRankedTensorType") ||
        !GOOD(GetCompiledModelInputTensorLayout(model->compiled, model->signature, 0, &type.layout),
              "GetCompiledModelInputTensorLayout"))
        return 0;
    session->type = element_of(type.element);
    if (!images_make(session->type))
        return fail(fault, ERROR_MODEL, "the model's input is LiteRT's type %d; supported are " IMAGES_MAKE,
                    type.element);
    session->axes = type.layout.rank;
    for (size_t i = 0; i < session->axes; i++)
        session->shape[i] = type.layout.dimensions[i];
    struct litert_scale scale = litert_scale_of(model->library, tensor);
    session->input_scale = scale.scale;
    session->input_zero_point = (float)scale.zero_point;
    return make_buffer(model, &type, "the model's input", &model->input, &model->input_memory, &model->input_bytes,
                       fault);
}

static int describe_output(struct session *session, struct litert_model *model, size_t place,
                           const struct litert_layout *layout, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    struct litert_type type;
    const char *name = NULL;
    void *tensor = NULL;
    if (!GOOD(GetSubgraphOutput(model->subgraph, place, &tensor), "GetSubgraphOutput") ||
        !GOOD(GetTensorName(tensor, &name), "GetTensorName") ||
        !GOOD(GetRankedTensorType(tensor, &type), "GetRankedTensorType"))
        return 0;
    session->output[place] = copy_of(name);
    type.layout = *layout;
    struct tensor *seen = &model->seen[place];
    struct litert_scale scale = litert_scale_of(model->library, tensor);
    *seen = (struct tensor){.type = element_of(type.element), .axes = layout->rank, .scale = scale.scale};
    seen->zero_point = (float)scale.zero_point;
    for (size_t i = 0; i < seen->axes; i++)
        seen->shape[i] = layout->dimensions[i];
    char *called = formatted("output %s", name);
    int made = make_buffer(model, &type, called, &model->output[place], &model->output_memory[place],
                           &model->output_bytes[place], fault);
    free(called);
    return made;
}

static int describe_outputs(struct session *session, struct litert_model *model, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    struct litert_layout layouts[MAX_OUTPUTS] = {0};
    if (!GOOD(GetNumSubgraphOutputs(model->subgraph, &session->outputs), "GetNumSubgraphOutputs"))
        return 0;
    if (session->outputs == 0 || session->outputs > MAX_OUTPUTS)
        return fail(fault, ERROR_MODEL, "the model has %zu outputs; 1 to %d are supported", session->outputs,
                    MAX_OUTPUTS);
    /* This makes the memory of all tensors and packs the weights, as `allocate_tensors` does for the agent. */
    int good = GOOD(GetCompiledModelOutputTensorLayouts(model->compiled, model->signature, session->outputs, layouts,
                                                        true), "GetCompiledModelOutputTensorLayouts");
    for (size_t i = 0; good && i < session->outputs; i++)
        good = describe_output(session, model, i, &layouts[i], fault);
    return good;
}

int litert_load(struct session *session, const struct loading *how, struct fault *fault)
{
    struct litert_model *model = need(sizeof *model);
    *model = (struct litert_model){.library = session->runtime->library};
    session->model = model;
    int good = compile(model, how, fault) && find_signature(model, fault) && describe_input(session, model, fault) &&
               describe_outputs(session, model, fault);
    model->log = litert_log_end();
    return good;
}
