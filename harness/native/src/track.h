/* What a model kept of its samples, and in which rounds: the arrays that a job leaves of each model. */
#ifndef EDGEWARD_TRACK_H
#define EDGEWARD_TRACK_H

#include <stddef.h>
#include <stdint.h>

/* One round: launch, first sample, last sample + 1, drift of the sentinel in 1e-4. */
struct row {
    int64_t launch, start, stop, drift;
};

struct track {
    struct row *rows;
    size_t count;
    int64_t taken; /* samples that finished rounds counted */
};

/* Adds a round of `samples` samples. */
void track_note(struct track *track, int64_t launch, int64_t samples, double drift);

/* Gives the model's raw samples their header and writes its rounds; a full disk ends the process with code 74. */
void track_write(const struct track *track, const char *folder, size_t index);

/* Makes the array `name` of what the model kept of `taken` rows; one column makes it flat. */
void track_close(const char *folder, size_t index, const char *name, int64_t taken, size_t columns);

#endif
