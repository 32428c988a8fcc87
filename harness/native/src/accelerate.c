#include "accelerate.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "onnxruntime_api.h"

#define SUFFIX "ExecutionProvider"

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
        return fail(fault, "runtime", "onnxruntime %s is too old to say what it offers", runtime->version);
    if (!runtime_good(api, api->GetAvailableProviders(&names, &count), "runtime", fault))
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
    return runtime_good(api, api->ReleaseAvailableProviders(names, count), "runtime", fault) && (target || found);
}

int runtime_offers(const struct runtime *runtime, struct text *target, struct fault *fault)
{
    return look(runtime, "", target, fault);
}

/* Asks for a provider by `name`. Those with threads of their own are told how many by an option of their own; the
 * session's says nothing to them. */
static int append(const struct runtime *runtime, const struct loading *how, const char *name, void *options,
                  struct fault *fault)
{
    char *threads = formatted("%d", how->threads);
    const char *keys[] = {strncmp(name, "OpenVINO", 8) == 0 ? "num_of_threads" : "intra_op_num_threads"};
    const char *values[] = {threads};
    size_t count = strncmp(name, "OpenVINO", 8) == 0 || strncasecmp(name, "Xnnpack", 7) == 0;
    int added = runtime_good(runtime->api,
                             runtime->api->SessionOptionsAppendExecutionProvider(options, name, keys, values, count),
                             "model", fault);
    free(threads);
    return added;
}

int accelerate(struct session *session, const struct runtime *runtime, const struct loading *how, void *options,
               struct fault *fault)
{
    struct fault unknown = {0};
    session->accelerator = "";
    if (*how->accelerator == 0 || !look(runtime, how->accelerator, NULL, &unknown))
        return 1;
    session->accelerator = how->accelerator;
    if (strcmp(how->accelerator, RUNTIME_CPU) == 0)
        return 1;
    /* Releases differ in the name: "XnnpackExecutionProvider", "CoreML" and "XNNPACK" are all known to some. */
    char *brief = copy_of(how->accelerator), *loud;
    size_t size = strlen(brief), suffix = strlen(SUFFIX);
    if (size > suffix && strcmp(brief + size - suffix, SUFFIX) == 0)
        brief[size - suffix] = 0;
    loud = copy_of(brief);
    for (char *at = loud; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    int added = append(runtime, how, brief, options, fault) || append(runtime, how, loud, options, fault) ||
                append(runtime, how, how->accelerator, options, fault);
    free(brief);
    free(loud);
    return added;
}

/* Adds one to a provider's nodes. */
static void count_node(struct json *nodes, const char *provider)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (strcmp(nodes->keys[i], provider) == 0) {
            nodes->items[i].number++;
            return;
        }
    nodes->keys = need_again(nodes->keys, (nodes->count + 1) * sizeof *nodes->keys);
    nodes->items = need_again(nodes->items, (nodes->count + 1) * sizeof *nodes->items);
    nodes->keys[nodes->count] = copy_of(provider);
    nodes->items[nodes->count++] = (struct json){.kind = JSON_NUMBER, .number = 1};
}

/* Adds what ran the nodes, by the events of a trace. */
static void add_nodes(const struct json *events, struct text *target)
{
    struct json *nodes = need(sizeof *nodes);
    *nodes = (struct json){.kind = JSON_OBJECT};
    for (size_t i = 0; i < events->count; i++) {
        const struct json *provider = json_get(json_get(&events->items[i], "args"), "provider");
        if (provider && provider->kind == JSON_STRING)
            count_node(nodes, provider->string);
    }
    text_add(target, "{");
    for (size_t i = 0; i < nodes->count; i++) {
        text_add(target, i ? ", " : "");
        text_string(target, nodes->keys[i]);
        text_add(target, ": %.0f", nodes->items[i].number);
    }
    text_add(target, "}");
    json_free(nodes);
}

int session_nodes(const struct session *session, struct text *target, struct fault *fault)
{
    const struct OrtApi *api = session->api;
    void *allocator = NULL;
    char *path = NULL;
    const char *wrong = "";
    if (!runtime_good(api, api->GetAllocatorWithDefaultOptions(&allocator), "model", fault) ||
        !runtime_good(api, api->SessionEndProfiling(session->handle, allocator, &path), "model", fault))
        return 0;
    char *text = file_text(path);
    struct json *events = text ? json_parse(text, &wrong) : NULL;
    if (events)
        add_nodes(events, target);
    else
        fail(fault, "model", "the trace %s cannot be read: %s", path, text ? "it is no JSON" : strerror(errno));
    unlink(path);
    int good = events != NULL;
    json_free(events);
    free(text);
    return good;
}
