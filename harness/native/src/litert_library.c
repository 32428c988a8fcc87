#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blame.h"
#include "litert.h"

/* The longest part of a log that is looked through, bytes. */
enum { LOOKED = 64 * 1024 };

static const struct {
    int status;
    const char *words;
} STATUSES[] = {
    {1, "invalid argument"},     {2, "memory allocation failed"}, {3, "runtime failure"},     {4, "missing input"},
    {5, "unsupported"},          {6, "not found"},                {8, "wrong version"},       {500, "file I/O"},
    {501, "invalid flatbuffer"}, {502, "dynamic loading"},        {503, "serialization"},     {504, "compilation"},
    {1000, "index out of range"}, {1001, "invalid type"},         {1002, "invalid graph"},
};

int64_t litert_log_end(void)
{
    struct stat facts;
    return fstat(2, &facts) == 0 && S_ISREG(facts.st_mode) ? (int64_t)facts.st_size : -1;
}

/* The first error that the log holds behind `from` as a new string; "" when it holds none or cannot be read. */
static char *said_since(int64_t from)
{
    int log = from < 0 ? -1 : open("/proc/self/fd/2", O_RDONLY | O_CLOEXEC);
    if (log < 0)
        return copy_of("");
    char *text = need(LOOKED + 1);
    ssize_t size = pread(log, text, LOOKED, (off_t)from);
    close(log);
    text[size > 0 ? size : 0] = 0;
    char *start = strstr(text, "ERROR: ");
    start = start ? start + strlen("ERROR: ") : text + strlen(text);
    start[strcspn(start, "\n")] = 0;
    char *error = copy_of(start);
    free(text);
    return error;
}

int litert_good(int status, const char *kind, const char *function, int64_t log, struct fault *fault)
{
    if (status == 0)
        return 1;
    const char *words = "an unknown failure";
    for (size_t i = 0; i < sizeof STATUSES / sizeof *STATUSES; i++)
        if (STATUSES[i].status == status)
            words = STATUSES[i].words;
    char *said = said_since(log);
    char *whole = formatted("LiteRt%s: %s (%d)%s%s", function, words, status, *said ? ": " : "", said);
    blame(fault, kind, whole);
    free(whole);
    free(said);
    return 0;
}

/* The host writes beside the library which release it is, for the library itself does not say. */
static int read_version(struct litert *library, const char *folder, struct fault *fault)
{
    char *path = formatted("%s/" VERSION_FILE, folder);
    int major = 0, minor = 0;
    library->version = file_word(path);
    int read = sscanf(library->version, "%d.%d", &major, &minor) == 2;
    int good = read && major == LITERT_MAJOR && minor >= LITERT_MINOR;
    if (!read)
        fail(fault, ERROR_RUNTIME, "%s does not say which version of ai-edge-litert lies beside it", path);
    else if (!good)
        fail(fault, ERROR_RUNTIME,
             "the C interface of ai-edge-litert %s is not known here; that of %d.%d and later %d.x is",
             library->version, LITERT_MAJOR, LITERT_MINOR, LITERT_MAJOR);
    free(path);
    return good;
}

static int find(void *library, const char *path, const char *name, void *target, struct fault *fault)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL)
        return fail(fault, ERROR_RUNTIME, "%s has no %s", path, name);
    memcpy(target, &symbol, sizeof symbol);
    return 1;
}

int litert_open(struct runtime *runtime, const char *folder, struct fault *fault)
{
    struct litert *made = need(sizeof *made);
    *made = (struct litert){0};
    runtime->library = made;
    if (!read_version(made, folder, fault))
        return 0;
    char *path = formatted("%s/libLiteRt.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return fail(fault, ERROR_RUNTIME, "%s", dlerror());
    struct litert_api *api = &made->api;
#define FIND(name, arguments) find(library, path, "LiteRt" #name, &api->name, fault) &&
    int good = LITERT_FUNCTIONS(FIND, FIND) 1;
    free(path);
    /* It would look for accelerators in other libraries of the wheel, of which this one alone is brought. */
    const struct litert_option cpu = {LITERT_OPTION_ACCELERATORS, {LITERT_ANY_INT, LITERT_CPU}};
    int64_t log = litert_log_end();
    return good && litert_good(api->CreateEnvironment(1, &cpu, &made->environment), ERROR_RUNTIME,
                               "CreateEnvironment", log, fault);
}
