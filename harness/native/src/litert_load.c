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

/* LiteRT's types in ONNX's numbers; 0 for one that has none there. */
static enum element element_of(int type)
{
    static const enum element known[] = {
        [1] = FLOAT32, [2] = INT32,   [3] = UINT8,   [4] = INT64,       [5] = TEXT,    [6] = BOOL,    [7] = INT16,
        [8] = COMPLEX64, [9] = INT8, [10] = FLOAT16, [11] = FLOAT64, [12] = COMPLEX128, [13] = UINT64, [16] = UINT32,
        [17] = UINT16, [19] = BFLOAT16,
    };
    return type >= 0 && (size_t)type < sizeof known / sizeof *known ? known[type] : 0;
}

/* Bytes of an element; 0 for a type that is no number here. */
static size_t bytes_of(enum element type)
{
    switch (type) {
    case UINT8: case INT8: case BOOL: return 1;
    case FLOAT16: case UINT16: case INT16: return 2;
    case FLOAT32: case INT32: return 4;
    case FLOAT64: case INT64: return 8;
    default: return 0;
    }
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

/* Reads a signature's name, and whether it is the one of the first subgraph. */
static int read_signature(const struct litert_model *model, size_t index, const char **key, int *first,
                          struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    void *signature = NULL, *subgraph = NULL;
    int good = GOOD(GetModelSignature(model->file, index, &signature), "GetModelSignature") &&
               GOOD(GetSignatureKey(signature, key), "GetSignatureKey") &&
               GOOD(GetSignatureSubgraph(signature, &subgraph), "GetSignatureSubgraph");
    *first = good && subgraph == model->subgraph;
    return good;
}

/* Finds the signature of the first subgraph, which is the one that the interpreter of the agent runs. It must be the
 * one that is meant: TensorFlow's default, or any where none is called so. */
static int find_signature(struct litert_model *model, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    size_t main = 0, count = 0, of_first = 0;
    if (!GOOD(GetMainModelSubgraphIndex(model->file, &main), "GetMainModelSubgraphIndex") ||
        !GOOD(GetModelSubgraph(model->file, main, &model->subgraph), "GetModelSubgraph") ||
        !GOOD(GetNumModelSignatures(model->file, &count), "GetNumModelSignatures"))
        return 0;
    struct text keys = {0};
    int good = 1, meant = 0;
    for (size_t i = 0; good && i < count; i++) {
        const char *key = NULL;
        int first = 0;
        good = read_signature(model, i, &key, &first, fault);
        text_add(&keys, "%s%s", i ? ", " : "", good ? key : "");
        if (first)
            model->signature = i;
        of_first += (size_t)first;
        meant |= good && first && strcmp(key, "serving_default") == 0;
    }
    if (good && !meant && (of_first == 0 || of_first < count))
        good = fail(fault, ERROR_INPUT,
                    "the model's first subgraph is what runs, and its signatures (%s) do not say that it is meant; "
                    "export it with the one that is meant alone", keys.data ? keys.data : "");
    text_free(&keys);
    return good;
}

/* Makes a buffer for a tensor whose sizes are all known. */
static int make_buffer(const struct litert_model *model, struct litert_type *type, const char *name, void **buffer,
                       void **memory, size_t *bytes, struct fault *fault)
{
    const struct litert_api *api = &model->library->api;
    int64_t log = litert_log_end();
    enum element element = element_of(type->element);
    *bytes = bytes_of(element);
    if (*bytes == 0)
        return fail(fault, ERROR_INPUT, "%s is %s, which is no number here; export it as float32", name,
                    element_name(element));
    for (size_t i = 0; i < type->layout.rank; i++) {
        if (type->layout.dimensions[i] <= 0)
            return fail(fault, ERROR_INPUT,
                        "%s has a size that is only known when the model runs; export it with fixed sizes", name);
        *bytes *= (size_t)type->layout.dimensions[i];
    }
    type->layout.has_strides = 0;
    return GOOD(CreateManagedTensorBuffer(model->library->environment, LITERT_HOST_MEMORY, type, *bytes, buffer),
                "CreateManagedTensorBuffer") &&
           GOOD(GetTensorBufferHostMemory(*buffer, memory), "GetTensorBufferHostMemory");
}

/* Refuses an input whose sizes, but for the number of images, are known only when it runs. The library gives -1 for
 * such a size, and in `fixed`, if it is not 1, what the file has it run at. */
static int refuse_open_sizes(const struct litert_layout *open, const struct litert_layout *fixed, struct fault *fault)
{
    int fits = 1;
    struct text shape = {0};
    for (size_t i = 0; i < open->rank; i++) {
        fits = fits && (i == 0 || open->dimensions[i] >= 0 || fixed->dimensions[i] > 1);
        text_add(&shape, i ? ", " : "");
        if (open->dimensions[i] < 0)
            text_add(&shape, "any");
        else
            text_add(&shape, "%d", open->dimensions[i]);
    }
    if (!fits)
        fail(fault, ERROR_INPUT, "the model's input leaves sizes open, (%s); export it with fixed sizes", shape.data);
    text_free(&shape);
    return fits;
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
        return fail(fault, ERROR_INPUT, "the model has %zu inputs; export it with the image as its only input", inputs);
    if (!GOOD(GetSubgraphInput(model->subgraph, 0, &tensor), "GetSubgraphInput") ||
        !GOOD(GetRankedTensorType(tensor, &type), "GetRankedTensorType"))
        return 0;
    struct litert_layout open = type.layout;
    session->type = element_of(type.element);
    if (!images_make(session->type, fault) ||
        !GOOD(GetCompiledModelInputTensorLayout(model->compiled, model->signature, 0, &type.layout),
              "GetCompiledModelInputTensorLayout") ||
        !refuse_open_sizes(&open, &type.layout, fault))
        return 0;
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
