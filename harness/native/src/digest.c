#include "digest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "text.h"

/* Words before the names of the files; how many files and bytes of names one call may have: to start a program takes
 * longer than to digest a small file, and the kernel limits what a command line may hold. */
enum { WORDS = 4, MOST_FILES = 256, MOST_BYTES = 32768 };
/* Longer than any host waits for the answer. */
static const double DEADLINE_S = 3600;

/* The fastest first, as harness/transports/_copying.py has them. Each prints a line for each file: the digest, two
 * characters, the name. */
static const char *const TOOLS[][WORDS + 1] = {
    {"openssl", "dgst", "-sha256", "-r", NULL}, {"sha256sum", NULL}, {"busybox", "sha256sum", NULL},
    {"toybox", "sha256sum", NULL},              {"shasum", "-a", "256", NULL},
};
static const char EMPTY[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/* Adds what the tool prints about the files; nothing where it does not start. */
static void run(const char *const *tool, char *const *paths, size_t count, struct text *said)
{
    char **argv = need((WORDS + count + 1) * sizeof *argv);
    size_t words = 0;
    struct child child;
    struct fault fault;
    text_clear(said);
    text_bytes(said, "", 0);
    while (tool[words]) {
        argv[words] = copy_of(tool[words]);
        words++;
    }
    memcpy(argv + words, paths, count * sizeof *argv);
    argv[words + count] = NULL;
    if (child_start(&child, argv, &fault)) {
        child_finish(&child, said, DEADLINE_S);
        child_close(&child);
    }
    while (words)
        free(argv[--words]);
    free(argv);
}

/* Takes the digest at the beginning of a line; 0 when none stands there. */
static int take(const char *line, struct digest *digest)
{
    size_t size = 0;
    while (size < DIGEST_SIZE && isxdigit((unsigned char)line[size]))
        size++;
    if (size < DIGEST_SIZE || line[size] != ' ')
        return 0;
    memcpy(digest->hex, line, DIGEST_SIZE);
    digest->hex[DIGEST_SIZE] = 0;
    return 1;
}

/* Finds the line about a file from `*at` on and moves behind it; without one the file could not be read. */
static void find(const char **at, const char *path, struct digest *digest)
{
    size_t size = strlen(path);
    for (const char *line = *at, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *name = line + DIGEST_SIZE + 2;
        if (end - line != (ptrdiff_t)(DIGEST_SIZE + 2 + size) || memcmp(name, path, size) != 0 || !take(line, digest))
            continue;
        *at = end + 1;
        return;
    }
}

/* The tools do not agree on how they print such a name, so it is asked for alone. */
static int is_odd(const char *path)
{
    return strpbrk(path, "\n\r\\") != NULL;
}

/* How many of the files one call takes: all of them have plain names, or there is only one. */
static size_t batch_of(char *const *paths, size_t count)
{
    size_t taken = 0, bytes = 0;
    while (taken < count && taken < MOST_FILES && bytes < MOST_BYTES && !is_odd(paths[taken]))
        bytes += strlen(paths[taken++]) + 1;
    return taken ? taken : 1;
}

static void digest_batch(const char *const *tool, char *const *paths, size_t count, struct digest *digests)
{
    struct text said = {0};
    run(tool, paths, count, &said);
    const char *at = said.data;
    /* A backslash before the digest says that the name was changed. */
    if (is_odd(paths[0]))
        take(at + (*at == '\\'), &digests[0]);
    else
        for (size_t i = 0; i < count; i++)
            find(&at, paths[i], &digests[i]);
    text_free(&said);
}

/* The first tool that gives the digest of nothing rightly; NULL without one. */
static const char *const *working_tool(void)
{
    static char nothing[] = "/dev/null";
    char *const paths[] = {nothing};
    for (size_t i = 0; i < sizeof TOOLS / sizeof *TOOLS; i++) {
        struct digest digest = {{0}};
        digest_batch(TOOLS[i], paths, 1, &digest);
        if (strcmp(digest.hex, EMPTY) == 0)
            return TOOLS[i];
    }
    return NULL;
}

static int is_file(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && access(path, R_OK) == 0;
}

int digest_files(char *const *paths, size_t count, struct digest *digests)
{
    char **readable = need(count * sizeof *readable);
    size_t *place = need(count * sizeof *place), found = 0;
    for (size_t i = 0; i < count; i++) {
        digests[i].hex[0] = 0;
        place[found] = i;
        /* A name that begins with a dash would be read as an option. */
        if (is_file(paths[i]))
            readable[found++] = formatted("%s%s", *paths[i] == '-' ? "./" : "", paths[i]);
    }
    struct digest *made = need(found * sizeof *made);
    memset(made, 0, found * sizeof *made);
    const char *const *tool = found ? working_tool() : NULL;
    for (size_t done = 0; tool && done < found;) {
        size_t batch = batch_of(readable + done, found - done);
        digest_batch(tool, readable + done, batch, made + done);
        done += batch;
    }
    for (size_t i = 0; i < found; i++) {
        digests[place[i]] = made[i];
        free(readable[i]);
    }
    free(readable), free(place), free(made);
    return found == 0 || tool != NULL;
}
