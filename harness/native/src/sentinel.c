#include "sentinel.h"

#include "clock.h"
#include "contract.h"
#include "samples.h"

/* Compiled code takes thirty steps in the time that the Python agent takes for one. */
enum { STEPS = 30 * SENTINEL_STEPS };

static int64_t once(void)
{
    volatile uint32_t seen;
    uint32_t state = 1;
    int64_t started = now_ns();
    /* Each step needs the one before, so this measures the clock and nothing else. */
    for (int i = 0; i < STEPS; i++)
        state = (state * 1103515245u + 12345u) & 0x7FFFFFFFu;
    seen = state;
    (void)seen;
    return now_ns() - started;
}

int64_t sentinel_kernel_ns(void)
{
    int64_t best = once();
    for (int i = 1; i < 3; i++) {
        int64_t taken = once();
        best = taken < best ? taken : best;
    }
    return best;
}

void sentinel_start(struct sentinel *sentinel)
{
    int64_t readings[SENTINEL_READINGS];
    struct samples first = {readings, SENTINEL_READINGS, SENTINEL_READINGS};
    for (int i = 0; i < SENTINEL_READINGS; i++)
        readings[i] = sentinel_kernel_ns();
    *sentinel = (struct sentinel){.cool_ns = (int64_t)samples_median(&first)};
}

double sentinel_drift(struct sentinel *sentinel)
{
    int64_t started = now_ns();
    double drift = (double)sentinel_kernel_ns() / (double)sentinel->cool_ns - 1;
    sentinel->spent_ns += now_ns() - started;
    return drift;
}

double sentinel_settle(struct sentinel *sentinel, double budget_s, double *paused_s)
{
    double drift = sentinel_drift(sentinel), pause = 0.02;
    *paused_s = 0;
    while (drift > DRIFT && *paused_s + pause <= budget_s) {
        rest_s(pause);
        *paused_s += pause;
        pause = pause * 2 < 2.0 ? pause * 2 : 2.0;
        drift = sentinel_drift(sentinel);
    }
    return drift;
}
