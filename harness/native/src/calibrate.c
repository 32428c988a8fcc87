#include "calibrate.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "window.h"

/* Steps of work between two looks at the clock: less than a millisecond. */
enum { STEPS = 100000 };
/* From the beginning to the first part, in which the processes are started, s. */
static const double LEAD_S = 0.5;
static const double SHARES[] = GAPS;

/* A process for each usable core, and the schedule by which all of them work and rest. */
struct load {
    int64_t *edge_ns;
    size_t edges, cores, running;
    pid_t *pid;
    double cpu_s;
};

static void spin(void)
{
    volatile uint32_t seen;
    uint32_t state = 1;
    for (int i = 0; i < STEPS; i++)
        state = (state * 1103515245u + 12345u) & 0x7FFFFFFFu;
    seen = state;
    (void)seen;
}

/* In a process of its own: works and rests in turn until the last edge or the end of the parent. */
static void work(const struct load *load, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 1; i < load->edges && getppid() == parent; i++)
        for (int64_t left = load->edge_ns[i] - now_ns(); left > 0; left = load->edge_ns[i] - now_ns()) {
            if (i % 2)
                rest_s((double)left * 1e-9);
            else
                spin();
        }
    _exit(0);
}

static int load_start(struct load *load, struct fault *fault)
{
    pid_t parent = getpid();
    load->pid = need(load->cores * sizeof *load->pid);
    while (load->running < load->cores) {
        pid_t pid = fork();
        if (pid == 0)
            work(load, parent);
        if (pid < 0)
            return fail(fault, FAULT_METER, "the device does not start a process for each core");
        load->pid[load->running++] = pid;
    }
    return 1;
}

/* Waits for the processes, which end with the schedule; with `now` ends them first. */
static void load_end(struct load *load, int now)
{
    for (size_t i = 0; now && i < load->running; i++)
        kill(load->pid[i], SIGKILL);
    for (size_t i = 0; i < load->running; i++) {
        struct rusage usage = {0};
        wait4(load->pid[i], NULL, 0, &usage);
        load->cpu_s += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    }
    load->running = 0;
    free(load->pid);
    load->pid = NULL;
}

/* The schedule that is asked for, from now on. */
static struct load load_of(const struct json *seconds)
{
    cpu_set_t usable;
    struct load load = {.edges = seconds->count + 1, .cores = 1};
    if (sched_getaffinity(0, sizeof usable, &usable) == 0)
        load.cores = (size_t)CPU_COUNT(&usable);
    load.edge_ns = need(load.edges * sizeof *load.edge_ns);
    load.edge_ns[0] = now_ns() + (int64_t)(LEAD_S * 1e9);
    for (size_t i = 0; i < seconds->count; i++)
        load.edge_ns[i + 1] = load.edge_ns[i] + (int64_t)(seconds->items[i].number * 1e9);
    return load;
}

/* Reads the meter until the schedule is over. */
static int watch(struct meter *meter, const struct load *load, struct window *window, struct fault *fault)
{
    int64_t over_ns = load->edge_ns[load->edges - 1];
    int good = window_take(window, meter, fault);
    while (good && now_ns() < over_ns) {
        double left = (double)(over_ns - now_ns()) * 1e-9, chance = drand48();
        double gap = PERIOD_S * (SHARES[0] + (SHARES[1] - SHARES[0]) * chance);
        rest_s(left > 0 && left < gap ? left : gap);
        good = window_take(window, meter, fault);
    }
    return good;
}

static void describe_load(const struct load *load, struct text *answer)
{
    text_add(answer, "{\"cores\": %zu, \"cpu_s\": %.17g, \"edges_ns\": [", load->cores, load->cpu_s);
    for (size_t i = 0; i < load->edges; i++)
        text_add(answer, i ? ", %lld" : "%lld", (long long)load->edge_ns[i]);
    text_add(answer, "]");
}

/* With a meter of the device; without one the host reads it. */
static int play(const struct meter_spec *spec, const struct json *seconds, struct text *answer, struct fault *fault)
{
    struct meter meter = {0};
    struct window window = {0};
    int ours = strcmp(spec->kind, HOST_METER) != 0;
    int good = !ours || meter_open(&meter, spec, fault);
    int charging = good && ours ? meter_charging(&meter, fault) : 0;
    if (charging > 0)
        fail(fault, FAULT_METER, "the battery is charging, which hides what the device draws"),
            advise(fault, "unplug it");
    struct load load = load_of(seconds);
    good = good && charging == 0 && load_start(&load, fault) && (!ours || watch(&meter, &load, &window, fault));
    load_end(&load, !good);
    if (good) {
        describe_load(&load, answer);
        if (ours) {
            const char *quantity = meter.kind->counts_joules ? "joules" : "watts";
            text_add(answer, ", \"quantity\": \"%s\", \"resolution\": %.17g, ", quantity, meter.resolution);
            window_describe(&window, answer);
        }
        text_add(answer, "}");
    }
    if (ours)
        meter_close(&meter);
    window_free(&window);
    free(load.edge_ns);
    return good;
}

int calibrate_main(void)
{
    struct text answer = {0};
    struct fault fault = {0};
    const char *wrong = "";
    char *asked = stdin_text();
    struct json *root = json_parse(asked, &wrong);
    free(asked);
    const struct json *table = json_get(root, "meter"), *seconds = json_get(root, "seconds");
    int good = table && table->kind == JSON_OBJECT && seconds && seconds->kind == JSON_ARRAY;
    for (size_t i = 0; good && i < seconds->count; i++)
        good = seconds->items[i].kind == JSON_NUMBER && seconds->items[i].number > 0;
    if (!good) {
        fprintf(stderr, "calibrate takes {\"meter\": the [meter] table, \"seconds\": [NUMBER, ...]} as JSON on "
                        "standard input\n");
        return 65;
    }
    struct meter_spec spec = job_meter(table);
    srand48((long)now_ns());
    if (!play(&spec, seconds, &answer, &fault))
        meter_refusal(&answer, &fault);
    printf("%s", answer.data);
    return fflush(stdout) == 0 ? 0 : 74;
}
