/* The conductor's handle on one worker process. */
#ifndef EDGEWARD_PROCESS_H
#define EDGEWARD_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "limits.h"
#include "presence.h"
#include "text.h"

/* What the processes of this conductor have taken so far, in ns. */
struct spent {
    int64_t process_start_ns, load_ns, inference_ns;
};

struct process {
    pid_t pid;
    size_t index; /* of its model */
    int requests, answers;
    double deadline_s;
    char *log, *facts;   /* facts: the JSON object that the worker gave of its runtime */
    int64_t start_ns;    /* from fork to ready */
    int64_t free_bytes;  /* before it was started; -1 where the kernel does not say */
    struct kills kills;  /* before it was started */
    struct text buffer;  /* what was read and not yet taken */
    struct text answer;  /* the last answer, a JSON object */
    struct spent *spent;
    struct presence *presence; /* looked at before each request and while its answer is long in coming */
    const char *accelerated; /* what was seen to run the model; a worker that loads it without is lost */
};

/* How this very program is started: the loader brought beside it if there is one, then the program. */
struct program {
    char *loader, *folder, *path;
};

struct program program_of(const char *name);

/* Starts the worker of model `index` with the deadline, account, presence and accelerator of `like`; 0 with `fault`
 * when it does not get ready. */
int process_start(struct process *process, const struct program *program, const char *folder, size_t index,
                  const struct process *like, struct fault *fault);

/* Sends {"do": VERB FIELDS} and waits for the answer, which stays in `process->answer`; 0 with `fault`.
 * `fields` begins with ", " or is empty. */
int process_ask(struct process *process, struct fault *fault, const char *verb, const char *fields, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a verb that takes nothing. */
int process_do(struct process *process, struct fault *fault, const char *verb);

/* Sends the request only; process_wait takes the answer. */
int process_request(struct process *process, struct fault *fault, const char *verb, const char *fields);
int process_wait(struct process *process, struct fault *fault, const char *verb);

/* The answer's fields without its braces. */
const char *process_fields(struct process *process);

/* A number of the answer; 0 when it has none of this name. */
double process_number(const struct process *process, const char *name);

/* Asks the process to end, and kills it where it does not. */
void process_quit(struct process *process);

#endif
