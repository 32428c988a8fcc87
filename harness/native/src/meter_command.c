/* kind = "command": any program that prints watts, a number a line; started once, or anew for each reading. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "meter_kind.h"

enum { SHOWN = 80 };

struct command {
    const struct meter_spec *spec;
    struct child child; /* of a stream */
    struct text line;   /* the beginning of one that is not whole yet */
    int64_t at_ns;      /* when the newest line was seen; 0 before the first */
    double watts;
    int broken;
    struct fault why;
};

/* The number that a line is; 0 with `fault` naming the line for anything else. */
static int watts_of(const char *line, const char *program, double *watts, struct fault *fault)
{
    char *word = copy_of(line + strspn(line, " \t\r")), *behind;
    for (size_t end = strlen(word); end && strchr(" \t\r", word[end - 1]); end--)
        word[end - 1] = 0;
    *watts = strtod(word, &behind);
    int known = *word && *behind == 0 && word[strspn(word, "0123456789+-.eE")] == 0 && isfinite(*watts) && *watts >= 0;
    if (!known)
        fail(fault, FAULT_METER, "%s printed \"%.*s\", which is no number of watts; print one a line", program,
             SHOWN, word);
    free(word);
    return known;
}

/* Says with what code the program ended, the last line of its errors, and `remedy`. */
static int ended(const struct command *command, struct child *child, const char *remedy, struct fault *fault)
{
    char *last = child_last_words(child);
    fail(fault, FAULT_METER, "%s ended with code %d%s%s%s%s", command->spec->argv[0], child->code,
         *last ? " (" : "", last, *last ? ")" : "", remedy);
    free(last);
    return 0;
}

/* Runs the program once more and takes its first line. */
static int read_once(struct command *command, double *watts, struct fault *fault)
{
    const struct meter_spec *spec = command->spec;
    struct child child;
    struct text said = {0};
    if (!child_start(&child, spec->argv, fault))
        return 0;
    int good = child_finish(&child, &said, spec->deadline_s);
    if (!good)
        fail(fault, FAULT_METER, "%s did not end within %g s", spec->argv[0], spec->deadline_s);
    else if (child.code != 0)
        good = ended(command, &child, "", fault);
    else {
        said.data[strcspn(said.data, "\n")] = 0;
        good = watts_of(said.data, spec->argv[0], watts, fault);
    }
    child_close(&child);
    text_free(&said);
    return good;
}

/* Takes the whole lines out of what the stream has said so far; the last of them is what it says now. */
static void take_lines(struct command *command)
{
    char *start = command->line.data, *end;
    while (!command->broken && (end = strchr(start, '\n')) != NULL) {
        *end = 0;
        command->broken = !watts_of(start, command->spec->argv[0], &command->watts, &command->why);
        command->at_ns = now_ns();
        start = end + 1;
    }
    char *rest = copy_of(start);
    text_clear(&command->line);
    text_bytes(&command->line, rest, strlen(rest));
    free(rest);
}

/* Reads all that the stream has said, so that no old line of a full pipe passes for a reading. */
static void drain(struct command *command)
{
    char chunk[4096];
    ssize_t size = -1;
    while (!command->broken) {
        size = read(command->child.output, chunk, sizeof chunk);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        text_bytes(&command->line, chunk, (size_t)size);
        take_lines(command);
    }
    if (!command->broken && size == 0 && child_is_over(&command->child))
        command->broken = !ended(command, &command->child, "; it must go on", &command->why);
}

/* The watts that the program said last; waits for the first line only. */
static int read_stream(struct command *command, double *watts, struct fault *fault)
{
    double deadline_s = command->spec->deadline_s;
    int64_t limit = (int64_t)(deadline_s * 1e9), started = now_ns();
    drain(command);
    while (!command->broken && command->at_ns == 0 && now_ns() - started < limit) {
        rest_s(0.005);
        drain(command);
    }
    if (command->broken)
        return fail(fault, FAULT_METER, "%s", command->why.message);
    if (command->at_ns == 0 || now_ns() - command->at_ns > limit)
        return fail(fault, FAULT_METER, "%s printed no line for %g s; it must flush every line", command->spec->argv[0],
                    deadline_s);
    *watts = command->watts;
    return 1;
}

static int streams(const struct command *command)
{
    return strcmp(command->spec->mode, "stream") == 0;
}

static int open_command(struct meter *meter, const struct meter_spec *spec, struct fault *fault)
{
    if (spec->argv[0] == NULL)
        return fail(fault, FAULT_METER, "argv is empty: name the program that prints watts");
    if (strcmp(spec->mode, "stream") != 0 && strcmp(spec->mode, "once") != 0)
        return fail(fault, FAULT_METER, "mode is \"stream\" or \"once\", not \"%s\"", spec->mode);
    if (!(spec->deadline_s > 0 && spec->deadline_s <= 60))
        return fail(fault, FAULT_METER, "deadline_s must lie between 0 and 60 s, not %g", spec->deadline_s);
    struct command *command = need(sizeof *command);
    *command = (struct command){.spec = spec};
    text_bytes(&command->line, "", 0);
    meter->state = command;
    if (!streams(command))
        return 1;
    if (!child_start(&command->child, spec->argv, fault))
        return 0;
    fcntl(command->child.output, F_SETFL, O_NONBLOCK);
    return 1;
}

static int read_command(struct meter *meter, double *watts, struct fault *fault)
{
    struct command *command = meter->state;
    return streams(command) ? read_stream(command, watts, fault) : read_once(command, watts, fault);
}

static void close_command(struct meter *meter)
{
    struct command *command = meter->state;
    child_close(&command->child);
    text_free(&command->line);
    free(command);
}

const struct meter_kind METER_COMMAND = {
    .name = "command", .open = open_command, .read = read_command, .close = close_command};
