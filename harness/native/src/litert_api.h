/* The part of LiteRT's C interface that is used here, written from its documentation.
 *
 * libLiteRt.so of ai-edge-litert 2.2 and later exports it by name. The same names took other arguments before (a model
 * was created without an environment, options were structures), which no symbol tells: litert_library.c asks for the
 * version. Handles are `void *`; a function that can fail returns a status, 0 for success.
 */
#ifndef EDGEWARD_LITERT_API_H
#define EDGEWARD_LITERT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LITERT_CPU = 1 << 0, LITERT_HOST_MEMORY = 1, LITERT_MAX_RANK = 8 };
/* Of an environment: which accelerators it looks for when it is created, and the kind of that value. */
enum { LITERT_OPTION_ACCELERATORS = 24, LITERT_ANY_INT = 2 };
enum { LITERT_NOT_QUANTISED = 0, LITERT_PER_TENSOR = 1 };
/* Of an event that is the run of one node. */
enum { LITERT_NODE_RAN = 1 << 1 };

struct litert_option {
    int tag;
    struct {
        int kind;
        int64_t value;
    } any;
};

struct litert_layout {
    unsigned int rank : 7, has_strides : 1;
    int32_t dimensions[LITERT_MAX_RANK];
    uint32_t strides[LITERT_MAX_RANK];
};

struct litert_type {
    int element;
    struct litert_layout layout;
};

struct litert_scale {
    float scale;
    int64_t zero_point;
};

struct litert_event {
    const char *tag;
    int kind;
    uint64_t start_us, elapsed_us;
    size_t memory[6];
    uint64_t node, subgraph;
    int source;
};

_Static_assert(sizeof(void *) != 8 || sizeof(struct litert_option) == 24, "LiteRtEnvOption has 24 bytes");
_Static_assert(sizeof(struct litert_layout) == 68, "LiteRtLayout has 68 bytes");
_Static_assert(sizeof(struct litert_type) == 72, "LiteRtRankedTensorType has 72 bytes");
_Static_assert(sizeof(struct litert_scale) == 16, "LiteRtQuantizationPerTensor has 16 bytes");
_Static_assert(sizeof(void *) != 8 || sizeof(struct litert_event) == 104, "ProfiledEventData has 104 bytes");

/* FUNCTION(name without "LiteRt", arguments) of each function that returns a status, and NOTHING(...) of one that
 * returns nothing. */
#define LITERT_FUNCTIONS(FUNCTION, NOTHING)                                                                            \
    FUNCTION(CreateEnvironment, (int options, const struct litert_option *option, void **out))                         \
    FUNCTION(CreateModelFromBuffer, (void *environment, const void *data, size_t size, void **out))                    \
    FUNCTION(GetMainModelSubgraphIndex, (void *model, size_t *out))                                                    \
    FUNCTION(GetModelSubgraph, (void *model, size_t index, void **out))                                                \
    FUNCTION(GetNumModelSignatures, (void *model, size_t *out))                                                        \
    FUNCTION(GetModelSignature, (void *model, size_t index, void **out))                                               \
    FUNCTION(GetSignatureKey, (void *signature, const char **out))                                                     \
    FUNCTION(GetSignatureSubgraph, (void *signature, void **out))                                                      \
    FUNCTION(GetNumSubgraphInputs, (void *subgraph, size_t *out))                                                      \
    FUNCTION(GetSubgraphInput, (void *subgraph, size_t index, void **out))                                             \
    FUNCTION(GetNumSubgraphOutputs, (void *subgraph, size_t *out))                                                     \
    FUNCTION(GetSubgraphOutput, (void *subgraph, size_t index, void **out))                                            \
    FUNCTION(GetNumSubgraphOps, (void *subgraph, size_t *out))                                                         \
    FUNCTION(GetSubgraphOp, (void *subgraph, size_t index, void **out))                                                \
    FUNCTION(GetNumOpInputs, (void *op, size_t *out))                                                                  \
    FUNCTION(GetOpInput, (void *op, size_t index, void **out))                                                         \
    FUNCTION(GetNumOpOutputs, (void *op, size_t *out))                                                                 \
    FUNCTION(GetOpOutput, (void *op, size_t index, void **out))                                                        \
    FUNCTION(GetTensorName, (void *tensor, const char **out))                                                          \
    FUNCTION(GetRankedTensorType, (void *tensor, struct litert_type *out))                                             \
    FUNCTION(GetQuantizationTypeId, (void *tensor, int *out))                                                          \
    FUNCTION(GetPerTensorQuantization, (void *tensor, struct litert_scale *out))                                       \
    FUNCTION(CreateOptions, (void **out))                                                                              \
    FUNCTION(SetOptionsHardwareAccelerators, (void *options, int accelerators))                                        \
    FUNCTION(CreateOpaqueOptions, (const char *name, void *value, void (*destroy)(void *), void **out))                \
    FUNCTION(AddOpaqueOptions, (void *options, void *opaque))                                                          \
    FUNCTION(CreateCompiledModel, (void *environment, void *model, void *options, void **out))                         \
    FUNCTION(GetCompiledModelInputTensorLayout,                                                                        \
             (void *compiled, size_t signature, size_t input, struct litert_layout *out))                              \
    FUNCTION(GetCompiledModelOutputTensorLayouts,                                                                      \
             (void *compiled, size_t signature, size_t count, struct litert_layout *out, bool allocate))               \
    FUNCTION(CompiledModelIsFullyAccelerated, (void *compiled, bool *out))                                             \
    FUNCTION(CompiledModelGetProfiler, (void *compiled, void **out))                                                   \
    FUNCTION(StartProfiler, (void *profiler))                                                                          \
    FUNCTION(StopProfiler, (void *profiler))                                                                           \
    FUNCTION(GetNumProfilerEvents, (void *profiler, int *out))                                                         \
    FUNCTION(GetProfilerEvents, (void *profiler, int count, struct litert_event *out))                                 \
    FUNCTION(CreateManagedTensorBuffer,                                                                                \
             (void *environment, int kind, const struct litert_type *type, size_t bytes, void **out))                  \
    FUNCTION(GetTensorBufferHostMemory, (void *buffer, void **out))                                                    \
    FUNCTION(RunCompiledModel, (void *compiled, size_t signature, size_t inputs, void **input, size_t outputs,         \
                                void **output))                                                                        \
    NOTHING(DestroyOptions, (void *options))

#define LITERT_STATUS_FIELD(name, arguments) int(*name) arguments;
#define LITERT_NOTHING_FIELD(name, arguments) void(*name) arguments;

struct litert_api {
    LITERT_FUNCTIONS(LITERT_STATUS_FIELD, LITERT_NOTHING_FIELD)
};

#endif
