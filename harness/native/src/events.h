/* What the runner writes: one JSON object a line in events.jsonl, and a byte for each follower, so that none must poll.
 *
 * Every follower waits at a FIFO of its own, `wake.PID`: a stale one, left behind by a cut link, cannot take the byte
 * that was meant for its successor. The FIFO `alive` is held open for writing as long as the conductor lives and never
 * written: who waits at it reads end-of-file at once when the conductor is gone, however it died. */
#ifndef EDGEWARD_EVENTS_H
#define EDGEWARD_EVENTS_H

#include "contract.h"
#include "text.h"

struct events {
    int alive, file;
    const char *folder;
    struct text line;
};

/* Opens both in a job directory, whose name must last; what goes wrong ends the process with code 74. */
void events_open(struct events *events, const char *folder);

/* Begins an event; its fields are added to the text that is returned, each with ", " before it. */
struct text *events_begin(struct events *events, const char *name);

/* Writes the event and wakes its readers; a disk that is full ends the process with code 74. */
void events_end(struct events *events);

#endif
