#include "track.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "npy.h"
#include "text.h"

void track_note(struct track *track, int64_t launch, int64_t samples, double drift)
{
    int64_t stop = track->taken + samples;
    track->rows = need_again(track->rows, (track->count + 1) * sizeof *track->rows);
    track->rows[track->count++] = (struct row){launch, track->taken, stop, (int64_t)(drift * 1e4)};
    track->taken = stop;
}

static void refuse(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(74);
}

void track_close(const char *folder, size_t index, const char *name, int64_t taken, size_t columns)
{
    char *raw = formatted("%s/m%zu.%s.raw", folder, index, name);
    char *path = formatted("%s/m%zu.%s.npy", folder, index, name);
    /* Only what finished rounds counted: a worker that was killed while writing may have left a piece behind. */
    size_t shape[] = {(size_t)taken, columns}, count = (size_t)taken * columns;
    int64_t *values = need(count * sizeof *values);
    FILE *file = fopen(raw, "rbe");
    if (file) {
        if (fread(values, sizeof *values, count, file) != count ||
            !npy_write(path, "<i8", shape, columns > 1 ? 2 : 1, values, count * sizeof *values))
            refuse(path);
        fclose(file);
        unlink(raw);
    }
    free(values);
    free(raw);
    free(path);
}

void track_write(const struct track *track, const char *folder, size_t index)
{
    char *path = formatted("%s/m%zu.rounds.npy", folder, index);
    size_t shape[] = {track->count, 4};
    track_close(folder, index, "latency", track->taken, 1);
    if (!npy_write(path, "<i8", shape, 2, track->rows, track->count * sizeof *track->rows))
        refuse(path);
    free(path);
}
