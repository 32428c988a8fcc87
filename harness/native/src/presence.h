/* Sees whether the host is there, keeps its lease meanwhile, and ends the job when it has been gone for too long; why
 * and how is explained in harness/agent/presence.py, which does the same. */
#ifndef EDGEWARD_PRESENCE_H
#define EDGEWARD_PRESENCE_H

#include <stdint.h>

struct presence {
    const char *folder, *beat;
    double gone_s;
    int64_t seen_ns, looked_ns;
};

struct presence presence_of(const char *folder, const char *beat, double gone_s);

/* Looks, unless that was done a moment ago; does not return when the host has been gone for too long. NULL: nothing. */
void presence_look(struct presence *presence);

/* How many followers read their FIFOs; writes the byte to each unless it is 0, and removes those of dead ones. */
int presence_followers(const char *folder, char byte);

#endif
