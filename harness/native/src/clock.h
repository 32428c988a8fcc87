/* The device's monotonic clock. */
#ifndef EDGEWARD_CLOCK_H
#define EDGEWARD_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void rest_s(double seconds)
{
    struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&rest, NULL);
}

/* Prints what the clock shows, in ns, so many times, a line for each: for a host that compares it with its own. */
int clock_main(const char *times);

#endif
