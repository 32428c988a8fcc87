#include <dlfcn.h>
#include <string.h>

#include "blame.h"
#include "onnxruntime.h"
#include "onnxruntime_api.h"

int onnxruntime_good(const struct OrtApi *api, void *given, const char *kind, struct fault *fault)
{
    if (given == NULL)
        return 1;
    blame(fault, kind, api->GetErrorMessage(given));
    api->ReleaseStatus(given);
    return 0;
}

int onnxruntime_open(struct runtime *runtime, const char *folder, struct fault *fault)
{
    struct onnxruntime *made = need(sizeof *made);
    runtime->library = made;
    char *path = formatted("%s/libonnxruntime.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return fail(fault, ERROR_RUNTIME, "%s", dlerror());
    const struct OrtApiBase *(*get_base)(void);
    void *symbol = dlsym(library, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base);
    if (symbol == NULL)
        return fail(fault, ERROR_RUNTIME, "%s has no OrtGetApiBase", path);
    *made = (struct onnxruntime){.version = get_base()->GetVersionString()};
    made->api = get_base()->GetApi(ORT_TABLE_VERSION);
    if (made->api == NULL)
        return fail(fault, ERROR_RUNTIME, "onnxruntime %s has no C interface 1", made->version);
    made->accelerates = get_base()->GetApi(ORT_ACCELERATORS_VERSION) != NULL;
    status given = made->api->CreateEnv(ORT_LOG_ERROR, "edgeward", &made->environment);
    return onnxruntime_good(made->api, given, ERROR_RUNTIME, fault);
}

void onnxruntime_facts(const struct runtime *runtime, struct text *target)
{
    const struct onnxruntime *library = runtime->library;
    text_add(target, "\"runtime\": \"onnxruntime\", \"runtime_version\": ");
    text_string(target, library->version);
    text_add(target, ", \"accelerator\": \"" ONNXRUNTIME_CPU "\"");
}

/* Whether this build has the provider; with `target`, adds the list of all. */
static int look(const struct onnxruntime *library, const char *wanted, struct text *target, struct fault *fault)
{
    const struct OrtApi *api = library->api;
    char **names = NULL;
    int count = 0, found = 0;
    if (!library->accelerates)
        return fail(fault, ERROR_RUNTIME, "onnxruntime %s is too old to say what it offers", library->version);
    if (!onnxruntime_good(api, api->GetAvailableProviders(&names, &count), ERROR_RUNTIME, fault))
        return 0;
    for (int i = 0; i < count; i++) {
        found = found || strcmp(names[i], wanted) == 0;
        if (target) {
            text_add(target, i ? ", " : "[");
            text_string(target, names[i]);
        }
    }
    if (target)
        text_add(target, count ? "]" : "[]");
    return onnxruntime_good(api, api->ReleaseAvailableProviders(names, count), ERROR_RUNTIME, fault) &&
           (target || found);
}

int onnxruntime_has(const struct onnxruntime *library, const char *provider, struct fault *fault)
{
    return look(library, provider, NULL, fault);
}

int onnxruntime_offers(const struct runtime *runtime, struct text *target, struct fault *fault)
{
    return look(runtime->library, "", target, fault);
}
