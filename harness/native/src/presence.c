#include "presence.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "contract.h"
#include "text.h"

struct presence presence_of(const char *folder, const char *beat, double gone_s)
{
    int64_t now = now_ns();
    return (struct presence){folder, beat, gone_s, now, now - (int64_t)(LOOK_S * 1e9)};
}

static int follows(const char *path, char byte)
{
    int pipe = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    /* Without a reader, its follower was killed and could not take it away. */
    if (pipe < 0 && errno == ENXIO)
        unlink(path);
    if (pipe < 0)
        return 0;
    /* A full FIFO wakes as well as one byte more. */
    if (byte && write(pipe, &byte, 1) < 0 && errno != EAGAIN && errno != EPIPE)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    close(pipe);
    return 1;
}

int presence_followers(const char *folder, char byte)
{
    char *pattern = formatted("%s/" WAKE_FILES "*", folder);
    int count = 0;
    glob_t pipes;
    if (glob(pattern, 0, NULL, &pipes) == 0) {
        for (size_t i = 0; i < pipes.gl_pathc; i++)
            count += follows(pipes.gl_pathv[i], byte);
        globfree(&pipes);
    }
    free(pattern);
    return count;
}

/* Not made: it was removed with the lease. In place: it must never be read empty. */
static void write_beat(const char *path)
{
    int file = *path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    char *boot = file_word("/proc/sys/kernel/random/boot_id"), *up = file_word("/proc/uptime");
    up[strcspn(up, ".")] = 0;
    if (dprintf(file, "%s %s\n", boot, up) < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    free(boot), free(up);
    close(file);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts, (void)kind, (void)place;
    remove(path);
    return 0;
}

/* Leaves word in the workdir that a job with confidential files is gone, for the next host. */
static void note_wiped(const char *folder)
{
    char *root = formatted("%s", folder), *job = strrchr(root, '/'), *jobs;
    if (job != NULL) {
        *job++ = '\0';
        jobs = strrchr(root, '/');
        if (jobs != NULL) {
            *jobs = '\0';
            char *path = formatted("%s/" WIPED_FILE, root);
            int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
            if (file >= 0) {
                if (dprintf(file, "%s\n", job) < 0)
                    fprintf(stderr, "%s: %s\n", path, strerror(errno));
                close(file);
            }
            free(path);
        }
    }
    free(root);
}

/* Ends the workers, removes what must not stay, and ends. */
static void end(const struct presence *presence)
{
    fprintf(stderr, "nobody followed the job for %.0f s: it ends\n", presence->gone_s);
    char *path = formatted("%s/" SECRET_FILE, presence->folder), *secrets = file_text(path);
    int confidential = secrets != NULL && access(path, F_OK) == 0;
    for (char *name = secrets ? strtok(secrets, "\n") : NULL; name; name = strtok(NULL, "\n"))
        unlink(name);
    int leads = getpgrp() == getpid();
    if (leads) {
        signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM);
    }
    nftw(presence->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (confidential && access(presence->folder, F_OK) != 0)
        note_wiped(presence->folder);
    if (leads)
        kill(0, SIGKILL);
    exit(75);
}

void presence_look(struct presence *presence)
{
    int64_t now = now_ns();
    if (presence == NULL || (double)(now - presence->looked_ns) < LOOK_S * 1e9)
        return;
    presence->looked_ns = now;
    if (presence->gone_s <= 0 || presence_followers(presence->folder, 0)) {
        presence->seen_ns = now;
        write_beat(presence->beat);
    } else if ((double)(now - presence->seen_ns) > presence->gone_s * 1e9)
        end(presence);
}
