#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "limits.h"

struct program program_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    struct program program = {.path = copy_of(name), .folder = copy_of(slash ? name : ".")};
    program.folder[slash ? slash - name : 1] = 0;
    program.loader = formatted("%s/ld.so", program.folder);
    if (access(program.loader, X_OK) != 0) {
        free(program.loader);
        program.loader = NULL;
    }
    return program;
}

static void become_worker(const struct program *program, const char *folder, size_t index, int in, int out, int log)
{
    char *number = formatted("%zu", index);
    signal(SIGPIPE, SIG_DFL);
    dup2(in, 0);
    dup2(out, 1);
    dup2(log, 2);
    if (program->loader)
        execl(program->loader, program->loader, "--library-path", program->folder, program->path, "work", folder,
              number, (char *)NULL);
    else
        execl(program->path, program->path, "work", folder, number, (char *)NULL);
    dprintf(2, "%s cannot be started: %s\n", program->path, strerror(errno));
    _exit(127);
}

static const char *signal_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGKILL, "SIGKILL"}, {SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},
                 {SIGILL, "SIGILL"},   {SIGFPE, "SIGFPE"},   {SIGTERM, "SIGTERM"}, {SIGSYS, "SIGSYS"},
                 {SIGINT, "SIGINT"},   {SIGXFSZ, "SIGXFSZ"}, {SIGXCPU, "SIGXCPU"}, {SIGHUP, "SIGHUP"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number)
            return names[i].name;
    return "a signal";
}

/* Says who sent SIGKILL, as far as the kernel says: itself for want of memory, or another process. */
static int killed(const struct process *process, long peak_kib, struct fault *fault)
{
    struct kills now = limits_kills();
    int known = now.file[0] && process->kills.file[0], same = now.count[0] == process->kills.count[0];
    int64_t total = limits_total();
    limits_free(&now);
    if (!known)
        return fail(fault, ERROR_KILLED, "the process was killed by SIGKILL, perhaps for want of memory");
    if (same)
        return fail(fault, ERROR_KILLED, "the process was killed by SIGKILL, and not by the kernel for want of memory");
    return fail(fault, ERROR_MEMORY,
                "out of memory: the kernel killed the process at %.0f MB; there is %.0f MB in all, %.0f MB free before "
                "it started",
                (double)peak_kib * 1024e-6, (double)total * 1e-6, (double)process->free_bytes * 1e-6);
}

/* Takes note of a process that is gone, and says why. */
static int died(struct process *process, struct fault *fault)
{
    int code = 0;
    struct rusage usage = {0};
    wait4(process->pid, &code, 0, &usage);
    process->pid = 0;
    if (WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL)
        return killed(process, usage.ru_maxrss, fault);
    if (WIFSIGNALED(code))
        return fail(fault, ERROR_KILLED, "the process was killed by %s", signal_name(WTERMSIG(code)));
    char *said = file_word(process->log);
    size_t size = strlen(said), from = size > 300 ? size - 300 : 0;
    fail(fault, ERROR_DIED, "the process ended with code %d: %s", WEXITSTATUS(code), said + from);
    free(said);
    return 0;
}

static int take_line(struct process *process)
{
    char *end = process->buffer.size ? memchr(process->buffer.data, '\n', process->buffer.size) : NULL;
    if (end == NULL)
        return 0;
    size_t size = (size_t)(end - process->buffer.data);
    text_clear(&process->answer);
    text_bytes(&process->answer, process->buffer.data, size);
    process->buffer.size -= size + 1;
    memmove(process->buffer.data, end + 1, process->buffer.size);
    return 1;
}

static int read_answer(struct process *process, struct fault *fault)
{
    int64_t deadline = now_ns() + (int64_t)(process->deadline_s * 1e9);
    while (!take_line(process)) {
        int64_t left = deadline - now_ns(), look = (int64_t)(LOOK_S * 1e9), wait = left < look ? left : look;
        struct pollfd ready = {.fd = process->answers, .events = POLLIN};
        int found = poll(&ready, 1, wait > 0 ? (int)(wait / 1000000 + 1) : 0);
        if (found < 0 && errno == EINTR)
            continue;
        if (found == 0 && left > look) {
            presence_look(process->presence);
            continue;
        }
        if (found <= 0) {
            kill(process->pid, SIGKILL);
            return fail(fault, ERROR_TIMEOUT, "no answer within %.0f s; the process was ended", process->deadline_s);
        }
        char chunk[4096];
        ssize_t size = read(process->answers, chunk, sizeof chunk);
        if (size == 0 || (size < 0 && errno != EINTR))
            return died(process, fault);
        if (size > 0)
            text_bytes(&process->buffer, chunk, (size_t)size);
    }
    return 1;
}

/* Reads an answer and looks whether it is an error. */
static int receive(struct process *process, struct fault *fault)
{
    if (!read_answer(process, fault))
        return 0;
    const char *wrong = "";
    struct json *answer = json_parse(process->answer.data, &wrong);
    const struct json *error = json_get(answer, "error"), *message = json_get(answer, "message");
    int good = answer != NULL && error == NULL;
    if (answer == NULL)
        fail(fault, ERROR_DIED, "the process answered what is no JSON: %.80s", process->answer.data);
    else if (error)
        fail(fault, error->string ? error->string : ERROR_INFERENCE, "%s",
             message && message->string ? message->string : "");
    json_free(answer);
    return good;
}

static int spawn(struct process *process, const struct program *program, const char *folder, size_t index)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    int log = open(process->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int good = log >= 0 && pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0;
    process->pid = good ? fork() : -1;
    if (process->pid == 0)
        become_worker(program, folder, index, to[0], from[1], log);
    int why = errno;
    process->requests = to[1];
    process->answers = from[0];
    close(to[0]), close(from[1]), close(log);
    errno = why;
    return process->pid > 0;
}

/* The text of the member "facts" of the ready answer, which is the answer's last. */
static char *facts_of(const char *answer)
{
    const char *start = strstr(answer, "\"facts\": ");
    char *facts = copy_of(start ? start + strlen("\"facts\": ") : "{}");
    if (start)
        facts[strlen(facts) - 1] = 0;
    return facts;
}

int process_start(struct process *process, const struct program *program, const char *folder, size_t index,
                  const struct process *like, struct fault *fault)
{
    *process = (struct process){.deadline_s = like->deadline_s,
                                .spent = like->spent,
                                .presence = like->presence,
                                .accelerated = like->accelerated,
                                .index = index,
                                .requests = -1,
                                .answers = -1};
    process->log = formatted("%s/m%zu.log", folder, index);
    process->kills = limits_kills();
    process->free_bytes = limits_available();
    int64_t started = now_ns();
    if (!spawn(process, program, folder, index)) {
        process->pid = 0;
        fail(fault, errno == ENOSPC ? ERROR_DISK : ERROR_DIED, "the process cannot be started: %s", strerror(errno));
    } else if (receive(process, fault)) {
        process->start_ns = (int64_t)process_number(process, "ready_ns") - started;
        process->facts = facts_of(process->answer.data);
        process->spent->process_start_ns += process->start_ns;
        return 1;
    }
    process_quit(process);
    return 0;
}

int process_request(struct process *process, struct fault *fault, const char *verb, const char *fields)
{
    presence_look(process->presence);
    int sent = dprintf(process->requests, "{\"do\": \"%s\"%s}\n", verb, fields);
    return sent > 0 ? 1 : died(process, fault);
}

/* Whether the worker that has loaded runs the model on what was seen to run it. */
static int keeps_accelerator(const struct process *process)
{
    const char *wrong = "";
    struct json *answer = json_parse(process->answer.data, &wrong);
    const struct json *runs = json_get(answer, "accelerator");
    int kept = *process->accelerated == 0 || (runs && runs->string && strcmp(runs->string, process->accelerated) == 0);
    json_free(answer);
    return kept;
}

int process_wait(struct process *process, struct fault *fault, const char *verb)
{
    if (!receive(process, fault))
        return 0;
    if (strcmp(verb, "load") == 0 && !keeps_accelerator(process))
        return fail(fault, ERROR_ACCELERATOR, "%s ran this model once and now does not start", process->accelerated);
    int64_t ns = (int64_t)process_number(process, "ns");
    *(strcmp(verb, "load") == 0 ? &process->spent->load_ns : &process->spent->inference_ns) += ns;
    return 1;
}

int process_do(struct process *process, struct fault *fault, const char *verb)
{
    return process_request(process, fault, verb, "") && process_wait(process, fault, verb);
}

int process_ask(struct process *process, struct fault *fault, const char *verb, const char *fields, ...)
{
    char made[160];
    va_list values;
    va_start(values, fields);
    vsnprintf(made, sizeof made, fields, values);
    va_end(values);
    return process_request(process, fault, verb, made) && process_wait(process, fault, verb);
}

const char *process_fields(struct process *process)
{
    process->answer.data[process->answer.size - 1] = 0;
    return process->answer.data + 1;
}

double process_number(const struct process *process, const char *name)
{
    const char *wrong = "";
    struct json *answer = json_parse(process->answer.data, &wrong);
    const struct json *value = json_get(answer, name);
    double number = value ? value->number : 0;
    json_free(answer);
    return number;
}

/* Waits up to five seconds for the end; the process is gone afterwards. */
static void wait_for_end(struct process *process)
{
    int64_t deadline = now_ns() + 5000000000;
    while (waitpid(process->pid, NULL, WNOHANG) == 0) {
        if (now_ns() > deadline) {
            kill(process->pid, SIGKILL);
            waitpid(process->pid, NULL, 0);
            return;
        }
        rest_s(0.002);
    }
}

void process_quit(struct process *process)
{
    if (process->requests >= 0) {
        if (process->pid)
            dprintf(process->requests, "{\"do\": \"quit\"}\n");
        close(process->requests);
    }
    if (process->pid)
        wait_for_end(process);
    if (process->answers >= 0)
        close(process->answers);
    free(process->log);
    free(process->facts);
    limits_free(&process->kills);
    text_free(&process->buffer);
    text_free(&process->answer);
    *process = (struct process){.requests = -1, .answers = -1};
}
