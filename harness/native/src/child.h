/* A program of the device's own that is run for what it prints: a meter's command, a tool that digests files. */
#ifndef EDGEWARD_CHILD_H
#define EDGEWARD_CHILD_H

#include <sys/types.h>

#include "text.h"

/* `pid` 0: none runs. `code` is valid once it has ended; negative where a signal ended it. */
struct child {
    pid_t pid;
    int output, errors, code;
};

/* Starts argv, found as a shell finds it, with LC_ALL=C; 0 with a `fault` of kind FAULT_METER when there is
 * no such program. */
int child_start(struct child *child, char *const *argv, struct fault *fault);

/* Reads all it prints and waits for its end; 0 when that takes longer than `deadline_s`. */
int child_finish(struct child *child, struct text *said, double deadline_s);

/* Whether it has ended. */
int child_is_over(struct child *child);

/* The last line that it said on standard error, "" without one; a new string. */
char *child_last_words(const struct child *child);

/* Ends it, if it still runs. */
void child_close(struct child *child);

#endif
