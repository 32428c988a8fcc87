#include "blame.h"

#include <string.h>

/* Runtimes say in words that memory ran out. */
static int out_of_memory(const char *said)
{
    return strcasestr(said, "bad_alloc") || (strcasestr(said, "alloc") && strcasestr(said, "memory"));
}

int blame(struct fault *fault, const char *kind, const char *said)
{
    return fail(fault, out_of_memory(said) ? ERROR_MEMORY : kind, "%s", said);
}
