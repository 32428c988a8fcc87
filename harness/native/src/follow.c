#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "events.h"
#include "text.h"

/* Longer than this without its files and the conductor never started. */
static const double START_S = 20.0;
static const char DONE[] = "{\"event\": \"" EVENT_DONE "\"";

static int gone(void)
{
    printf("{\"event\": \"" EVENT_GONE "\", \"t_ns\": %lld}\n", (long long)now_ns());
    return fflush(stdout) == 0 ? 0 : 74;
}

/* Whether the job stands on the command line of process `pid`. */
static int is_ours(const char *pid, const char *folder)
{
    char words[4096], *path = formatted("/proc/%s/cmdline", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? 0 : read(file, words, sizeof words);
    if (file >= 0)
        close(file);
    free(path);
    return size > 0 && memmem(words, (size_t)size, folder, strlen(folder)) != NULL;
}

/* Whether process `pid` runs and is the conductor; after a restart of the device another may have its number. */
static int runs(const char *pid, const char *folder)
{
    char *stat_path = formatted("/proc/%s/stat", pid), *stat = file_word(stat_path);
    char *behind = strrchr(stat, ')'), *state = behind ? behind + 1 + strspn(behind + 1, " ") : "";
    int yes = *pid && *state && !strchr("ZX", *state) && is_ours(pid, folder);
    free(stat_path), free(stat);
    return yes;
}

/* 0 once it is dead; one that has not yet said who it is counts as alive. */
static int conductor_lives(const char *folder)
{
    char *path = formatted("%s/" PID_FILE, folder);
    /* Looked for before it is read: it may appear in between, and is whole as soon as it is there. */
    int said = access(path, F_OK) == 0;
    char *pid = file_word(path);
    int lives = !said || runs(pid, folder);
    free(path), free(pid);
    return lives;
}

/* The conductor makes its files first of all. */
static int await(const char *folder, const char *path)
{
    int64_t deadline = now_ns() + (int64_t)(START_S * 1e9);
    while (access(path, F_OK) != 0) {
        if (now_ns() > deadline || !conductor_lives(folder))
            return 0;
        rest_s(0.05);
    }
    return 1;
}

/* Makes a FIFO of our own, which the conductor finds by its name; the reading end, or -1. */
static int make_pipe(const char *folder, char **name)
{
    char *part = formatted("%s/." WAKE_FILES "%ld", folder, (long)getpid());
    *name = formatted("%s/" WAKE_FILES "%ld", folder, (long)getpid());
    unlink(part);
    int pipe = mkfifo(part, 0666) == 0 ? open(part, O_RDWR | O_NONBLOCK) : -1;
    /* Read-write: no end-of-file between two events. Named only now: the conductor removes one without a reader. */
    if (pipe >= 0 && rename(part, *name) != 0)
        pipe = -1;
    free(part);
    return pipe;
}

/* Sleeps until the conductor writes or dies; 0 when nobody reads what is printed any more. */
static int wait_for_more(int pipe, int alive)
{
    char bytes[4096];
    struct pollfd ready[] = {{.fd = pipe, .events = POLLIN}, {.fd = alive, .events = POLLIN}, {.fd = 1}};
    poll(ready, 3, -1);
    if (ready[2].revents)
        return 0;
    /* End of file: its descriptors are closed, the process itself may take a moment more. */
    if (read(pipe, bytes, sizeof bytes) <= 0)
        rest_s(0.02);
    return 1;
}

/* Prints the lines that are whole and keeps the rest; -1 when standard output is closed, 1 when the job is done. */
static int print_lines(int events, struct text *tail)
{
    char bytes[16384];
    int done = 0;
    for (ssize_t size; (size = read(events, bytes, sizeof bytes)) > 0 || (size < 0 && errno == EINTR);)
        if (size > 0)
            text_bytes(tail, bytes, (size_t)size);
    char *line = tail->data, *end;
    while (line && (end = strchr(line, '\n')) != NULL) {
        size_t size = (size_t)(end - line) + 1;
        done = done || strncmp(line, DONE, sizeof DONE - 1) == 0;
        if (fwrite(line, size, 1, stdout) != 1)
            return -1;
        line = end + 1;
    }
    if (line) {
        tail->size -= (size_t)(line - tail->data);
        memmove(tail->data, line, tail->size + 1);
    }
    return fflush(stdout) == 0 ? done : -1;
}

static int follow(const char *folder, int pipe, int alive, int events)
{
    struct text tail = {0};
    for (;;) {
        /* Asked before reading: what a conductor wrote before it died is then always printed. */
        int lives = conductor_lives(folder), state = print_lines(events, &tail);
        if (state)
            return state > 0 ? 0 : 74;
        if (!lives)
            return gone();
        if (!wait_for_more(pipe, alive))
            return 0;
    }
}

int follow_main(const char *folder, const char *offset)
{
    char *events_path = formatted("%s/" EVENTS_FILE, folder), *alive_path = formatted("%s/" ALIVE_FILE, folder);
    char *pipe_path = NULL;
    if (!await(folder, events_path))
        return gone();
    int pipe = make_pipe(folder, &pipe_path);
    int alive = open(alive_path, O_RDONLY | O_NONBLOCK), events = open(events_path, O_RDONLY), code = 74;
    if (pipe < 0 || alive < 0 || events < 0 || lseek(events, (off_t)strtoll(offset, NULL, 10), SEEK_SET) < 0)
        fprintf(stderr, "%s: %s\n", folder, strerror(errno));
    else
        code = follow(folder, pipe, alive, events);
    unlink(pipe_path);
    return code;
}
