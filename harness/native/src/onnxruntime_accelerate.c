#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime.h"
#include "onnxruntime_api.h"

#define SUFFIX "ExecutionProvider"

/* Asks for a provider by `name`. Those with threads of their own take their number from an option
 * of their own, and not from the session's. */
static int append(const struct onnxruntime *library, const char *name, int count_of_threads, void *options,
                  struct fault *fault)
{
    char *threads = formatted("%d", count_of_threads);
    const char *keys[] = {strncmp(name, "OpenVINO", 8) == 0 ? "num_of_threads" : "intra_op_num_threads"};
    const char *values[] = {threads};
    size_t count = strncmp(name, "OpenVINO", 8) == 0 || strncasecmp(name, "Xnnpack", 7) == 0;
    status given = library->api->SessionOptionsAppendExecutionProvider(options, name, keys, values, count);
    int added = onnxruntime_good(library->api, given, ERROR_MODEL, fault);
    free(threads);
    return added;
}

int onnxruntime_accelerate(const struct onnxruntime *library, const struct loading *how, void *options,
                           const char **held, struct fault *fault)
{
    const char *wanted = how->accelerator;
    struct fault unknown = {0};
    *held = "";
    if (*wanted == 0 || !onnxruntime_has(library, wanted, &unknown))
        return 1;
    *held = wanted;
    if (strcmp(wanted, ONNXRUNTIME_CPU) == 0)
        return 1;
    /* Releases differ in the name: "XnnpackExecutionProvider", "CoreML" and "XNNPACK" are all known to some. */
    char *brief = copy_of(wanted), *loud;
    size_t size = strlen(brief), suffix = strlen(SUFFIX);
    if (size > suffix && strcmp(brief + size - suffix, SUFFIX) == 0)
        brief[size - suffix] = 0;
    loud = copy_of(brief);
    for (char *at = loud; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    int added = append(library, brief, how->threads, options, fault) ||
                append(library, loud, how->threads, options, fault) ||
                append(library, wanted, how->threads, options, fault);
    free(brief);
    free(loud);
    return added;
}
