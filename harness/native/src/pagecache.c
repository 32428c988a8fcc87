#include "pagecache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract.h"

/* The share of a file's pages that are in the page cache, or -1 where the system does not say. */
static double resident(const char *path)
{
    double share = -1;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return share;
    size_t size = fstat(file, &status) == 0 ? (size_t)status.st_size : 0;
    void *view = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    if (view != MAP_FAILED) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), count = (size + page - 1) / page, there = 0;
        unsigned char *pages = need(count);
        if (mincore(view, size, pages) == 0) {
            for (size_t i = 0; i < count; i++)
                there += pages[i] & 1;
            share = (double)there / (double)count;
        }
        free(pages);
        munmap(view, size);
    }
    close(file);
    return share;
}

static void add_state(struct text *fields, const char *state, double share)
{
    text_add(fields, ", \"page_cache\": \"%s\"", state);
    if (share >= 0)
        text_add(fields, ", \"resident\": %.9g", share);
}

int pagecache_warm(const char *path, struct text *fields)
{
    static char chunk[1 << 16];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        while (read(file, chunk, sizeof chunk) > 0)
            ;
        close(file);
    }
    double share = resident(path);
    add_state(fields, share < 0 ? "unknown" : share >= WARM ? "warm" : "partly warm", share);
    return 1;
}

int pagecache_evict(const char *path, struct text *fields)
{
    int file = open(path, O_RDONLY | O_CLOEXEC), wrong = file < 0 ? errno : 0;
    if (file >= 0) {
        /* A page that is not written out yet cannot be dropped. */
        wrong = fsync(file) != 0 ? errno : posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
    double share = wrong ? -1 : resident(path);
    if (share >= 0 && share <= EVICTED) {
        add_state(fields, "evicted", share);
        return 1;
    }
    char *reason = NULL;
    if (wrong)
        reason = formatted("the model file cannot be dropped from the page cache: %s", strerror(wrong));
    else if (share < 0)
        reason = copy_of("the system does not say what is in its page cache");
    else
        reason = formatted("the system keeps %.0f %% of the model file in its page cache: its file system lies in "
                           "memory, or another process uses it",
                           100 * share);
    add_state(fields, share < 0 ? "unknown" : "warm", -1);
    text_add(fields, ", \"absent\": ");
    text_string(fields, reason);
    free(reason);
    return 0;
}
