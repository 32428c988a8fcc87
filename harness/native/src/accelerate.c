#include "accelerate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_api.h"

#define SUFFIX "ExecutionProvider"

/* Asks for a provider by `name`. Those with threads of their own take their number from an option
 * of their own, and not from the session's. */
static int append(const struct runtime *runtime, const char *name, int count_of_threads, void *options,
                  struct fault *fault)
{
    char *threads = formatted("%d", count_of_threads);
    const char *keys[] = {strncmp(name, "OpenVINO", 8) == 0 ? "num_of_threads" : "intra_op_num_threads"};
    const char *values[] = {threads};
    size_t count = strncmp(name, "OpenVINO", 8) == 0 || strncasecmp(name, "Xnnpack", 7) == 0;
    int added = runtime_good(runtime->api,
                             runtime->api->SessionOptionsAppendExecutionProvider(options, name, keys, values, count),
                             ERROR_MODEL, fault);
    free(threads);
    return added;
}

int accelerate(const struct runtime *runtime, const char *wanted, int threads, void *options, const char **held,
               struct fault *fault)
{
    struct fault unknown = {0};
    *held = "";
    if (*wanted == 0 || !runtime_has(runtime, wanted, &unknown))
        return 1;
    *held = wanted;
    if (strcmp(wanted, RUNTIME_CPU) == 0)
        return 1;
    /* Releases differ in the name: "XnnpackExecutionProvider", "CoreML" and "XNNPACK" are all known to some. */
    char *brief = copy_of(wanted), *loud;
    size_t size = strlen(brief), suffix = strlen(SUFFIX);
    if (size > suffix && strcmp(brief + size - suffix, SUFFIX) == 0)
        brief[size - suffix] = 0;
    loud = copy_of(brief);
    for (char *at = loud; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    int added = append(runtime, brief, threads, options, fault) || append(runtime, loud, threads, options, fault) ||
                append(runtime, wanted, threads, options, fault);
    free(brief);
    free(loud);
    return added;
}
