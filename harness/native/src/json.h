/* A strict JSON reader: RFC 8259 with a bound on depth; duplicate keys and trailing text are errors. */
#ifndef EDGEWARD_JSON_H
#define EDGEWARD_JSON_H

#include <stddef.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    double number; /* of a number; 0 or 1 of a boolean */
    char *string;  /* UTF-8 without NUL inside */
    size_t count;  /* of items */
    struct json *items;
    char **keys; /* of an object, one an item */
};

/* The value that `text` spells, or NULL with `*where` at what is wrong. Free it with json_free. */
struct json *json_parse(const char *text, const char **where);
void json_free(struct json *value);

/* The item under `key`, or NULL where `object` is no object or has none. */
const struct json *json_get(const struct json *object, const char *key);

#endif
