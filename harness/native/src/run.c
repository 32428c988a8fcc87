#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "conductor.h"
#include "phases.h"
#include "survey.h"
#include "sustained.h"
#include "system.h"
#include "timed.h"

static void say_conditions(struct conductor *conductor, const char *when)
{
    struct text *event = events_begin(&conductor->events, EVENT_CONDITIONS);
    text_add(event, ", \"when\": \"%s\", ", when);
    survey_conditions(event, conductor->job.folder, conductor->job.thermal_zone);
    events_end(&conductor->events);
}

static void say_done(struct conductor *conductor)
{
    struct text *event = events_begin(&conductor->events, EVENT_DONE);
    text_add(event, ", \"alive\": [");
    for (size_t i = 0, any = 0; i < conductor->job.models; i++)
        if (conductor->alive[i])
            text_add(event, any++ ? ", %zu" : "%zu", i);
    text_add(event, "], \"spent\": {\"process_start_ns\": %lld, \"load_ns\": %lld, \"inference_ns\": %lld}",
             (long long)conductor->spent.process_start_ns, (long long)conductor->spent.load_ns,
             (long long)conductor->spent.inference_ns);
    events_end(&conductor->events);
}

static void run_phases(struct conductor *conductor)
{
    const struct plan *plan = &conductor->job.plan;
    events_open(&conductor->events, conductor->job.folder);
    /* Before any model runs: what the processor can do while it is cool, and how cool that is. */
    sentinel_start(&conductor->sentinel);
    conductor->cool_known = system_temperature(conductor->job.thermal_zone, &conductor->cool_c);
    struct text *event = events_begin(&conductor->events, EVENT_START);
    text_add(event, ", \"agent\": \"native " VERSION "\", \"pid\": %ld, \"kills\": [", (long)getpid());
    struct kills kills = limits_kills();
    for (size_t i = 0; kills.file[i]; i++) {
        text_add(event, i ? ", [" : "[");
        text_string(event, kills.file[i]);
        text_add(event, ", %lld]", (long long)kills.count[i]);
    }
    limits_free(&kills);
    text_add(event, "], \"fingerprint\": ");
    survey_fingerprint(event);
    events_end(&conductor->events);
    say_conditions(conductor, "before");
    phases_before(conductor);
    if (plan->sustained_s > 0)
        sustained_pass(conductor);
    else if (plan->max_launches)
        timed_pass(conductor);
    phases_after(conductor);
    say_conditions(conductor, "after");
    phases_profile(conductor);
    say_done(conductor);
}

/* Forks into a session of its own with its output in agent.log; returns 1 in the process that goes on. */
static int detach_into(const char *folder)
{
    if (fork() != 0)
        return 0;
    setsid();
    char *path = formatted("%s/" LOG_FILE, folder);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    free(path);
    return 1;
}

/* Whether no other process runs the job: it is started twice when the answer to the first start is lost with the
 * connection. */
static int claim(const char *folder)
{
    char *path = formatted("%s/" CLAIM_FOLDER, folder);
    int won = mkdir(path, 0777) == 0 || errno != EEXIST;
    free(path);
    return won;
}

/* Written before anything that a follower waits for: a follower watches this process. */
static int write_pid(const char *folder)
{
    char *part = formatted("%s/" PID_FILE ".part", folder), *path = formatted("%s/" PID_FILE, folder);
    FILE *file = fopen(part, "we");
    int good = file && fprintf(file, "%ld", (long)getpid()) > 0;
    if (file)
        good = fclose(file) == 0 && good;
    good = good && rename(part, path) == 0;
    if (!good)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    free(part);
    free(path);
    return good;
}

int run_main(const char *name, const char *folder, int detach)
{
    /* Read before detaching, so that the message of a wrong job reaches the one who starts it. */
    struct conductor conductor = {.job = job_read(folder), .program = program_of(name)};
    conductor.random = (uint64_t)conductor.job.seed;
    conductor.alive = need(conductor.job.models * sizeof *conductor.alive);
    conductor.peak_bytes = need(conductor.job.models * sizeof *conductor.peak_bytes);
    conductor.accelerated = need(conductor.job.models * sizeof *conductor.accelerated);
    for (size_t i = 0; i < conductor.job.models; i++) {
        conductor.alive[i] = 1;
        conductor.peak_bytes[i] = 0;
        conductor.accelerated[i] = 0;
    }
    if (detach && !detach_into(folder))
        return 0;
    if (!claim(folder))
        return 0;
    signal(SIGPIPE, SIG_IGN);
    conductor.presence = presence_of(folder, conductor.job.beat, conductor.job.host_gone_s);
    int64_t started = now_ns();
    if (!write_pid(folder))
        return 74;
    run_phases(&conductor);
    fprintf(stderr, "done in %.1f s\n", (double)(now_ns() - started) * 1e-9);
    return 0;
}
