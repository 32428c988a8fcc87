#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { DEPTH = 32 };

static const char *value_at(const char *at, struct json *value, int depth, const char **wrong);

static const char *blank(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *refuse(const char *at, const char **wrong)
{
    *wrong = at;
    return NULL;
}

static int hex4(const char *at, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdefABCDEF", *found = at[i] ? strchr(digits, at[i]) : NULL;
        if (found == NULL)
            return 0;
        long digit = found - digits;
        *code = *code * 16 + (uint32_t)(digit > 15 ? digit - 6 : digit);
    }
    return 1;
}

static void add_code(struct text *text, uint32_t code)
{
    char bytes[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)(lead[size] | code);
    text_bytes(text, bytes, size);
}

/* Adds what the escape behind a backslash at `at` means. */
static const char *escape_at(const char *at, struct text *text, const char **wrong)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name = *at ? strchr(names, *at) : NULL;
    if (name) {
        text_bytes(text, &values[name - names], 1);
        return at + 1;
    }
    uint32_t code, low;
    if (*at != 'u' || !hex4(at + 1, &code) || code == 0 || (code >= 0xDC00 && code < 0xE000))
        return refuse(at, wrong);
    at += 5;
    if (code >= 0xD800 && code < 0xDC00) {
        if (at[0] != '\\' || at[1] != 'u' || !hex4(at + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return refuse(at, wrong);
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
    }
    add_code(text, code);
    return at;
}

static const char *string_at(const char *at, char **made, const char **wrong)
{
    if (*at != '"')
        return refuse(at, wrong);
    struct text text = {0};
    text_bytes(&text, "", 0);
    for (at++; *at != '"';) {
        if ((unsigned char)*at < 0x20)
            at = refuse(at, wrong);
        else if (*at == '\\')
            at = escape_at(at + 1, &text, wrong);
        else
            text_bytes(&text, at++, 1);
        if (at == NULL) {
            text_free(&text);
            return NULL;
        }
    }
    *made = text.data;
    return at + 1;
}

static size_t digits(const char *at)
{
    return strspn(at, "0123456789");
}

static const char *number_at(const char *at, struct json *value, const char **wrong)
{
    const char *start = at;
    at += *at == '-';
    size_t whole = digits(at);
    if (whole == 0 || (*at == '0' && whole > 1))
        return refuse(start, wrong);
    at += whole;
    if (*at == '.') {
        if (digits(at + 1) == 0)
            return refuse(start, wrong);
        at += 1 + digits(at + 1);
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '+' || at[1] == '-');
        if (digits(at) == 0)
            return refuse(start, wrong);
        at += digits(at);
    }
    value->kind = JSON_NUMBER;
    value->number = strtod(start, NULL);
    return at;
}

static struct json *new_item(struct json *list)
{
    list->items = need_again(list->items, (list->count + 1) * sizeof *list->items);
    if (list->kind == JSON_OBJECT) {
        list->keys = need_again(list->keys, (list->count + 1) * sizeof *list->keys);
        list->keys[list->count] = NULL;
    }
    list->items[list->count] = (struct json){0};
    return &list->items[list->count++];
}

static const char *key_at(const char *at, struct json *object, const char **wrong)
{
    char *key = NULL;
    const char *behind = string_at(at, &key, wrong);
    if (behind && json_get(object, key)) {
        free(key);
        return refuse(at, wrong);
    }
    new_item(object);
    object->keys[object->count - 1] = key;
    if (behind && *blank(behind) != ':')
        return refuse(behind, wrong);
    return behind ? blank(behind) + 1 : NULL;
}

/* The items of an array or object behind its opening bracket. */
static const char *items_at(const char *at, struct json *list, int depth, const char **wrong)
{
    char close = list->kind == JSON_OBJECT ? '}' : ']';
    at = blank(at);
    if (*at == close)
        return at + 1;
    for (;; at++) {
        at = blank(at);
        if (list->kind == JSON_OBJECT)
            at = key_at(at, list, wrong);
        else
            new_item(list);
        if (at)
            at = value_at(at, &list->items[list->count - 1], depth + 1, wrong);
        if (at == NULL)
            return NULL;
        at = blank(at);
        if (*at == close)
            return at + 1;
        if (*at != ',')
            return refuse(at, wrong);
    }
}

static const char *word_at(const char *at, struct json *value, const char **wrong)
{
    static const struct {
        const char *word;
        enum json_kind kind;
        double number;
    } words[] = {{"null", JSON_NULL, 0}, {"true", JSON_BOOL, 1}, {"false", JSON_BOOL, 0}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(at, words[i].word, strlen(words[i].word)) == 0) {
            value->kind = words[i].kind;
            value->number = words[i].number;
            return at + strlen(words[i].word);
        }
    return refuse(at, wrong);
}

static const char *value_at(const char *at, struct json *value, int depth, const char **wrong)
{
    at = blank(at);
    if (depth > DEPTH)
        return refuse(at, wrong);
    if (*at == '{' || *at == '[') {
        value->kind = *at == '{' ? JSON_OBJECT : JSON_ARRAY;
        return items_at(at + 1, value, depth, wrong);
    }
    if (*at == '"') {
        value->kind = JSON_STRING;
        return string_at(at, &value->string, wrong);
    }
    return *at == '-' || digits(at) ? number_at(at, value, wrong) : word_at(at, value, wrong);
}

static void release(struct json *value)
{
    for (size_t i = 0; i < value->count; i++) {
        release(&value->items[i]);
        if (value->keys)
            free(value->keys[i]);
    }
    free(value->items);
    free(value->keys);
    free(value->string);
}

void json_free(struct json *value)
{
    if (value)
        release(value);
    free(value);
}

struct json *json_parse(const char *text, const char **where)
{
    struct json *value = need(sizeof *value);
    *value = (struct json){0};
    const char *at = value_at(text, value, 0, where);
    if (at && *blank(at) == 0)
        return value;
    if (at)
        *where = at;
    json_free(value);
    return NULL;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (object && object->kind == JSON_OBJECT)
        for (size_t i = 0; i < object->count; i++)
            if (object->keys[i] && strcmp(object->keys[i], key) == 0)
                return &object->items[i];
    return NULL;
}
