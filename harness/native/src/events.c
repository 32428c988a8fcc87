#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "presence.h"

static void give_up(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(74);
}

void events_open(struct events *events, const char *folder)
{
    char *alive = formatted("%s/" ALIVE_FILE, folder), *file = formatted("%s/" EVENTS_FILE, folder);
    *events = (struct events){.folder = folder};
    if (mkfifo(alive, 0666) != 0 && errno != EEXIST)
        give_up(alive);
    /* Read-write, so that opening does not wait for a reader. */
    events->alive = open(alive, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (events->alive < 0)
        give_up(alive);
    events->file = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (events->file < 0)
        give_up(file);
    free(alive);
    free(file);
}

struct text *events_begin(struct events *events, const char *name)
{
    text_clear(&events->line);
    text_add(&events->line, "{\"event\": \"%s\", \"t_ns\": %lld", name, (long long)now_ns());
    return &events->line;
}

void events_end(struct events *events)
{
    text_add(&events->line, "}\n");
    for (size_t written = 0; written < events->line.size;) {
        ssize_t size = write(events->file, events->line.data + written, events->line.size - written);
        if (size < 0 && errno != EINTR)
            give_up(EVENTS_FILE);
        written += size > 0 ? (size_t)size : 0;
    }
    presence_followers(events->folder, '.');
}
