/* The part of ONNX Runtime's C interface that is used here, written from its documentation.
 *
 * `OrtGetApiBase()->GetApi(1)` gives a table of function pointers to which newer releases only append, so a function is
 * known by its place. The numbers are those places; up to 100 they are in version 1 of the table, which every release
 * gives, those behind it in version 12 and later, which only accelerators need. Pointers to opaque objects are
 * `void *`; a function that can fail returns a status, NULL for success.
 */
#ifndef EDGEWARD_ONNXRUNTIME_API_H
#define EDGEWARD_ONNXRUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_TABLE_VERSION = 1, ORT_ACCELERATORS_VERSION = 12 };
enum { ORT_LOG_ERROR = 3, ORT_ARENA_ALLOCATOR = 1, ORT_MEMORY_DEFAULT = 0 };

typedef void *status;
struct OrtValue;

struct OrtApi {
    void *places_0_1[2];
    const char *(*GetErrorMessage)(const void *status);                                        /* 2 */
    status (*CreateEnv)(int log_level, const char *log_id, void **out);                        /* 3 */
    void *places_4_6[3];
    status (*CreateSession)(const void *env, const char *path, const void *options, void **out); /* 7 */
    void *place_8;
    status (*Run)(void *session, const void *options, const char *const *input_names,
                  const struct OrtValue *const *inputs, size_t input_count, const char *const *output_names,
                  size_t output_count, struct OrtValue **outputs);                             /* 9 */
    status (*CreateSessionOptions)(void **out);                                                /* 10 */
    void *places_11_13[3];
    status (*EnableProfiling)(void *options, const char *file_prefix);                         /* 14 */
    void *places_15_23[9];
    status (*SetIntraOpNumThreads)(void *options, int threads);                                /* 24 */
    status (*SetInterOpNumThreads)(void *options, int threads);                                /* 25 */
    void *places_26_29[4];
    status (*SessionGetInputCount)(const void *session, size_t *out);                          /* 30 */
    status (*SessionGetOutputCount)(const void *session, size_t *out);                         /* 31 */
    void *place_32;
    status (*SessionGetInputTypeInfo)(const void *session, size_t index, void **out);          /* 33 */
    void *places_34_35[2];
    status (*SessionGetInputName)(const void *session, size_t index, void *allocator, char **out);  /* 36 */
    status (*SessionGetOutputName)(const void *session, size_t index, void *allocator, char **out); /* 37 */
    void *places_38_48[11];
    status (*CreateTensorWithDataAsOrtValue)(const void *memory, void *data, size_t bytes, const int64_t *shape,
                                             size_t axes, int type, struct OrtValue **out);    /* 49 */
    status (*IsTensor)(const struct OrtValue *value, int *out);                                /* 50 */
    status (*GetTensorMutableData)(struct OrtValue *value, void **out);                        /* 51 */
    void *places_52_54[3];
    status (*CastTypeInfoToTensorInfo)(const void *info, const void **out);                    /* 55 */
    void *places_56_59[4];
    status (*GetTensorElementType)(const void *info, int *out);                                /* 60 */
    status (*GetDimensionsCount)(const void *info, size_t *out);                               /* 61 */
    status (*GetDimensions)(const void *info, int64_t *shape, size_t axes);                    /* 62 */
    void *places_63_64[2];
    status (*GetTensorTypeAndShape)(const struct OrtValue *value, void **out);                 /* 65 */
    void *places_66_68[3];
    status (*CreateCpuMemoryInfo)(int allocator, int kind, void **out);                        /* 69 */
    void *places_70_77[8];
    status (*GetAllocatorWithDefaultOptions)(void **out);                                      /* 78 */
    void *places_79_92[14];
    void (*ReleaseStatus)(void *status);                                                       /* 93 */
    void *places_94_95[2];
    void (*ReleaseValue)(struct OrtValue *value);                                              /* 96 */
    void *place_97;
    void (*ReleaseTypeInfo)(void *info);                                                       /* 98 */
    void (*ReleaseTensorTypeAndShapeInfo)(void *info);                                         /* 99 */
    void (*ReleaseSessionOptions)(void *options);                                              /* 100 */
    void *places_101_109[9];
    status (*SessionEndProfiling)(void *session, void *allocator, char **out);                 /* 110 */
    void *places_111_124[14];
    status (*GetAvailableProviders)(char ***out, int *count);                                  /* 125 */
    status (*ReleaseAvailableProviders)(char **names, int count);                              /* 126 */
    void *places_127_215[89];
    status (*SessionOptionsAppendExecutionProvider)(void *options, const char *name, const char *const *keys,
                                                    const char *const *values, size_t count);  /* 216 */
};

_Static_assert(offsetof(struct OrtApi, ReleaseSessionOptions) == 100 * sizeof(void *), "a place was miscounted");
_Static_assert(offsetof(struct OrtApi, SessionOptionsAppendExecutionProvider) == 216 * sizeof(void *),
               "a place was miscounted");

struct OrtApiBase {
    const struct OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
};

#endif
