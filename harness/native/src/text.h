/* Growing text, JSON output and small files: what every other part writes with and reads from. */
#ifndef EDGEWARD_TEXT_H
#define EDGEWARD_TEXT_H

#include <stddef.h>

#include "contract.h"

/* Text that grows; starts as {0}, always ends in NUL once something was added. */
struct text {
    char *data;
    size_t size, room;
};

/* Of a meter that cannot be read or believed; never in an `error` event, for the energy alone is absent then. */
#define FAULT_METER "meter"

/* Why something failed: `kind` is one of ERROR_... of contract.h, or FAULT_METER. */
struct fault {
    char kind[16];
    char message[640];
    char remedy[320]; /* what to do about it; "" where the message says it */
};

/* Memory that must be there: the process ends with a message when it is not. */
void *need(size_t bytes);
void *need_again(void *old, size_t bytes);
char *copy_of(const char *text);

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_bytes(struct text *text, const char *data, size_t size);
/* Adds a JSON string, quoted; what is not UTF-8 becomes U+FFFD. */
void text_string(struct text *text, const char *value);
void text_clear(struct text *text);
void text_free(struct text *text);

/* A new string made as by printf. */
char *formatted(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sets `fault` and returns 0, so that `return fail(...)` reads as what it is. White space and control characters are
 * folded. */
int fail(struct fault *fault, const char *kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same with what to do about it: adds it to what `fail` has just set, and returns 0. */
int advise(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* All of standard input as a new string. */
char *stdin_text(void);

/* A whole small file as a new string, or NULL. */
char *file_text(const char *path);
/* The same without its white space at the ends; "" when it cannot be read. */
char *file_word(const char *path);

/* Whether one of the words stands in the file. */
int file_holds(const char *path, const char *const *words, size_t count);

#endif
