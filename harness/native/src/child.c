#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum { LAST_WORDS = 200 };

/* A file without a name: errors go there, because a full pipe would stop the program. */
static int nameless_file(void)
{
#ifdef SYS_memfd_create
    int file = (int)syscall(SYS_memfd_create, "errors", 1u /* MFD_CLOEXEC */);
    if (file >= 0 || errno != ENOSYS)
        return file;
#endif
    FILE *made = tmpfile();
    int copy = made ? fcntl(fileno(made), F_DUPFD_CLOEXEC, 0) : -1;
    if (made)
        fclose(made);
    return copy;
}

/* In the child: becomes the program, or says to the parent why not. */
static void become(char *const *argv, int output, int errors, int news)
{
    signal(SIGPIPE, SIG_DFL);
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    dup2(output, 1);
    dup2(errors, 2);
    /* Some languages write 4,2 for 4.2. */
    setenv("LC_ALL", "C", 1);
    execvp(argv[0], argv);
    int why = errno;
    if (write(news, &why, sizeof why) < 0)
        _exit(126);
    _exit(127);
}

int child_start(struct child *child, char *const *argv, struct fault *fault)
{
    int output[2] = {-1, -1}, news[2] = {-1, -1}, why = 0;
    *child = (struct child){.output = -1, .errors = nameless_file()};
    int good = child->errors >= 0 && pipe2(output, O_CLOEXEC) == 0 && pipe2(news, O_CLOEXEC) == 0;
    child->output = output[0];
    child->pid = good ? fork() : -1;
    if (child->pid == 0)
        become(argv, output[1], child->errors, news[1]);
    why = child->pid < 0 ? errno : 0;
    close(output[1]);
    close(news[1]);
    /* The other end closes without a byte when the program is there. */
    if (child->pid > 0 && read(news[0], &why, sizeof why) < 0)
        why = errno;
    close(news[0]);
    if (why == 0)
        return 1;
    child->pid = child->pid > 0 ? child->pid : 0;
    child_close(child);
    return fail(fault, FAULT_METER, "%s cannot be started: %s", argv[0], strerror(why));
}

static int reap(struct child *child, int options)
{
    int status = 0;
    if (child->pid && waitpid(child->pid, &status, options) == child->pid) {
        child->pid = 0;
        child->code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    return child->pid == 0;
}

int child_is_over(struct child *child)
{
    return reap(child, WNOHANG);
}

int child_finish(struct child *child, struct text *said, double deadline_s)
{
    int64_t deadline = now_ns() + (int64_t)(deadline_s * 1e9);
    int open = 1;
    text_bytes(said, "", 0);
    for (int64_t left; (left = deadline - now_ns()) > 0;) {
        char chunk[4096];
        struct pollfd ready = {.fd = child->output, .events = POLLIN};
        if (open && poll(&ready, 1, (int)(left / 1000000 + 1)) > 0) {
            ssize_t size = read(child->output, chunk, sizeof chunk);
            if (size > 0)
                text_bytes(said, chunk, (size_t)size);
            open = size > 0 || (size < 0 && errno == EINTR);
        }
        if (open)
            continue;
        if (child_is_over(child))
            return 1;
        rest_s(0.0005);
    }
    return 0;
}

char *child_last_words(const struct child *child)
{
    struct text said = {0};
    char chunk[4096];
    ssize_t size;
    text_bytes(&said, "", 0);
    for (off_t at = 0; (size = pread(child->errors, chunk, sizeof chunk, at)) > 0; at += size)
        text_bytes(&said, chunk, (size_t)size);
    while (said.size && strchr(" \t\r\n", said.data[said.size - 1]))
        said.data[--said.size] = 0;
    char *line = strrchr(said.data, '\n');
    line = copy_of(line ? line + 1 : said.data);
    if (strlen(line) > LAST_WORDS)
        line[LAST_WORDS] = 0;
    text_free(&said);
    return line;
}

void child_close(struct child *child)
{
    if (child->pid) {
        kill(child->pid, SIGKILL);
        reap(child, 0);
    }
    if (child->output > 0)
        close(child->output);
    if (child->errors > 0)
        close(child->errors);
    child->output = child->errors = -1;
}
