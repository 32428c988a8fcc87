#include "runtime.h"

#include <dlfcn.h>
#include <string.h>

#include "onnxruntime_api.h"

/* Runtimes say in words that memory ran out. */
static int out_of_memory(const char *said)
{
    return strcasestr(said, "bad_alloc") || (strcasestr(said, "alloc") && strcasestr(said, "memory"));
}

int runtime_good(const struct OrtApi *api, void *given, const char *kind, struct fault *fault)
{
    if (given == NULL)
        return 1;
    const char *said = api->GetErrorMessage(given);
    fail(fault, out_of_memory(said) ? ERROR_MEMORY : kind, "%s", said);
    api->ReleaseStatus(given);
    return 0;
}

int runtime_open(struct runtime *runtime, const char *folder, struct fault *fault)
{
    char *path = formatted("%s/libonnxruntime.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return fail(fault, ERROR_RUNTIME, "%s", dlerror());
    const struct OrtApiBase *(*get_base)(void);
    void *symbol = dlsym(library, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base);
    if (symbol == NULL)
        return fail(fault, ERROR_RUNTIME, "%s has no OrtGetApiBase", path);
    runtime->api = get_base()->GetApi(ORT_TABLE_VERSION);
    runtime->version = get_base()->GetVersionString();
    if (runtime->api == NULL)
        return fail(fault, ERROR_RUNTIME, "onnxruntime %s has no C interface 1", runtime->version);
    runtime->accelerates = get_base()->GetApi(ORT_ACCELERATORS_VERSION) != NULL;
    status given = runtime->api->CreateEnv(ORT_LOG_ERROR, "edgeward", &runtime->environment);
    return runtime_good(runtime->api, given, ERROR_RUNTIME, fault);
}

void runtime_facts(const struct runtime *runtime, struct text *target)
{
    text_add(target, "\"runtime\": \"onnxruntime\", \"runtime_version\": ");
    text_string(target, runtime->version);
    text_add(target, ", \"accelerator\": \"" RUNTIME_CPU "\"");
}

/* Whether this build has the provider; with `target`, adds the list of all. */
static int look(const struct runtime *runtime, const char *wanted, struct text *target, struct fault *fault)
{
    const struct OrtApi *api = runtime->api;
    char **names = NULL;
    int count = 0, found = 0;
    if (!runtime->accelerates)
        return fail(fault, ERROR_RUNTIME, "onnxruntime %s is too old to say what it offers", runtime->version);
    if (!runtime_good(api, api->GetAvailableProviders(&names, &count), ERROR_RUNTIME, fault))
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
    return runtime_good(api, api->ReleaseAvailableProviders(names, count), ERROR_RUNTIME, fault) && (target || found);
}

int runtime_has(const struct runtime *runtime, const char *provider, struct fault *fault)
{
    return look(runtime, provider, NULL, fault);
}

int runtime_offers(const struct runtime *runtime, struct text *target, struct fault *fault)
{
    return look(runtime, "", target, fault);
}
