#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "onnxruntime.h"
#include "onnxruntime_api.h"

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

int onnxruntime_nodes(const struct OrtApi *api, void *handle, struct text *target, struct fault *fault)
{
    void *allocator = NULL;
    char *path = NULL;
    const char *wrong = "";
    if (!onnxruntime_good(api, api->GetAllocatorWithDefaultOptions(&allocator), ERROR_MODEL, fault) ||
        !onnxruntime_good(api, api->SessionEndProfiling(handle, allocator, &path), ERROR_MODEL, fault))
        return 0;
    char *text = file_text(path);
    struct json *events = text ? json_parse(text, &wrong) : NULL;
    if (events)
        add_nodes(events, target);
    else
        fail(fault, ERROR_MODEL, "the trace %s cannot be read: %s", path, text ? "it is no JSON" : strerror(errno));
    unlink(path);
    int good = events != NULL;
    json_free(events);
    free(text);
    return good;
}
