#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void *need(size_t bytes)
{
    return need_again(NULL, bytes);
}

void *need_again(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    if (memory == NULL) {
        fprintf(stderr, "out of memory: %zu bytes were asked for\n", bytes);
        exit(71);
    }
    return memory;
}

char *copy_of(const char *text)
{
    return strcpy(need(strlen(text) + 1), text);
}

static void make_room(struct text *text, size_t more)
{
    if (text->size + more + 1 <= text->room)
        return;
    text->room = (text->size + more + 1) * 2;
    text->data = need_again(text->data, text->room);
}

void text_bytes(struct text *text, const char *data, size_t size)
{
    make_room(text, size);
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = 0;
}

static void add_formatted(struct text *text, const char *format, va_list values)
{
    va_list again;
    va_copy(again, values);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    make_room(text, (size_t)size);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, values);
    text->size += (size_t)size;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    add_formatted(text, format, values);
    va_end(values);
}

char *formatted(const char *format, ...)
{
    struct text made = {0};
    va_list values;
    va_start(values, format);
    add_formatted(&made, format, values);
    va_end(values);
    return made.data;
}

/* The length of the UTF-8 sequence at `at`, 0 when there is none. */
static size_t sequence(const unsigned char *at)
{
    size_t size = at[0] < 0x80 ? 1 : at[0] >= 0xC2 && at[0] < 0xE0 ? 2 : (at[0] & 0xF0) == 0xE0 ? 3
                  : at[0] >= 0xF0 && at[0] < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    int overlong = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xF0 && at[1] < 0x90);
    int outside = (at[0] == 0xED && at[1] > 0x9F) || (at[0] == 0xF4 && at[1] > 0x8F);
    return overlong || outside ? 0 : size;
}

void text_string(struct text *text, const char *value)
{
    text_bytes(text, "\"", 1);
    for (const unsigned char *at = (const unsigned char *)value; *at;) {
        size_t size = sequence(at);
        if (*at == '"' || *at == '\\')
            text_add(text, "\\%c", *at);
        else if (*at < 0x20)
            text_add(text, "\\u%04x", *at);
        else if (size == 0)
            text_add(text, "\\ufffd");
        else
            text_bytes(text, (const char *)at, size);
        at += size ? size : 1;
    }
    text_bytes(text, "\"", 1);
}

void text_clear(struct text *text)
{
    text->size = 0;
    if (text->data)
        text->data[0] = 0;
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

int fail(struct fault *fault, const char *kind, const char *format, ...)
{
    struct text made = {0};
    va_list values;
    va_start(values, format);
    add_formatted(&made, format, values);
    va_end(values);
    snprintf(fault->kind, sizeof fault->kind, "%s", kind);
    size_t size = 0;
    for (const char *at = made.data; *at && size + 1 < sizeof fault->message; at++) {
        int blank = (unsigned char)*at <= ' ' || *at == 0x7F;
        if (!blank)
            fault->message[size++] = *at;
        else if (size && fault->message[size - 1] != ' ')
            fault->message[size++] = ' ';
    }
    fault->message[size] = 0;
    fault->remedy[0] = 0;
    text_free(&made);
    return 0;
}

int advise(struct fault *fault, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(fault->remedy, sizeof fault->remedy, format, values);
    va_end(values);
    return 0;
}

/* All that can be read from a descriptor, which is closed; NULL where reading fails. */
static char *text_from(int file)
{
    struct text made = {0};
    char chunk[4096];
    ssize_t size = 0;
    text_bytes(&made, "", 0);
    while ((size = read(file, chunk, sizeof chunk)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0)
            text_bytes(&made, chunk, (size_t)size);
    close(file);
    if (size < 0)
        text_free(&made);
    return made.data;
}

char *stdin_text(void)
{
    char *made = text_from(dup(0));
    return made ? made : copy_of("");
}

char *file_text(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    return file < 0 ? NULL : text_from(file);
}

char *file_word(const char *path)
{
    char *whole = file_text(path);
    if (whole == NULL)
        return copy_of("");
    size_t start = strspn(whole, " \t\r\n"), end = strlen(whole);
    while (end > start && strchr(" \t\r\n", whole[end - 1]))
        end--;
    memmove(whole, whole + start, end - start);
    whole[end - start] = 0;
    return whole;
}

int file_holds(const char *path, const char *const *words, size_t count)
{
    int file = open(path, O_RDONLY | O_CLOEXEC), found = 0;
    struct stat facts;
    if (file < 0)
        return 0;
    size_t size = fstat(file, &facts) == 0 ? (size_t)facts.st_size : 0;
    void *raw = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    close(file);
    if (raw == MAP_FAILED)
        return 0;
    for (size_t i = 0; i < count; i++)
        found = found || memmem(raw, size, words[i], strlen(words[i])) != NULL;
    munmap(raw, size);
    return found;
}
