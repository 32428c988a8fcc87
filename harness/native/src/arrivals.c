/* Frames that arrive by the clock, as from a scanner: latency counts from the arrival, not from the inference's start.
 *
 * The scanner keeps its newest frame only: one that arrives while another still waits takes its place, and that one is
 * dropped. Since arrivals follow the clock, no thread has to play the scanner; what a queue of one would hold is
 * computed. The same as harness/agent/arrivals.py. */
#include <stdlib.h>

#include "clock.h"
#include "worker.h"

/* What became of a block of frames, all in ns: rows of frame number, from its arrival to the inference's start, and the
 * inference; from arrival to answer; how late the timer woke the model for a frame that it waited for. */
struct frames {
    struct samples taken, latency, jitter;
};

static void add(struct samples *samples, int64_t value)
{
    samples_reserve(samples);
    samples->ns[samples->count++] = value;
}

/* The newest frame that has arrived, -1 before the first. */
static int64_t newest_at(int64_t now, int64_t first, int64_t period)
{
    return now < first ? -1 : (now - first) / period;
}

static void wait_for(int64_t arrival, struct frames *found)
{
    int64_t left = arrival - now_ns();
    if (left > 0)
        rest_s((double)left * 1e-9);
    add(&found->jitter, now_ns() - arrival);
}

/* Lets frames arrive and infers the newest one whenever there is one. The arrival behind the last one ends the block: a
 * frame that still waits then is dropped, like any that is replaced. */
static int stream(struct worker *worker, int64_t frames, int64_t period, struct frames *found, struct fault *fault)
{
    int64_t first = now_ns() + (period < LEAD_NS ? period : LEAD_NS), due = 0;
    while (due < frames) {
        int64_t newest = newest_at(now_ns(), first, period);
        if (newest < due) {
            wait_for(first + due * period, found);
            continue;
        }
        if (newest >= frames)
            break;
        const struct input *input = worker->bound[worker->turn++ % worker->inputs];
        int64_t start = now_ns();
        if (!worker_infer(worker, input, fault))
            return 0;
        int64_t stop = now_ns(), waited = start - first - newest * period;
        add(&found->taken, newest), add(&found->taken, waited), add(&found->taken, stop - start);
        add(&found->latency, waited + stop - start);
        due = newest + 1;
    }
    return 1;
}

static int keep(const struct worker *worker, const struct frames *found, struct fault *fault)
{
    return worker_keep(worker, "latency", found->latency.ns, found->latency.count, fault) &&
           worker_keep(worker, "frames", found->taken.ns, found->taken.count, fault) &&
           worker_keep(worker, "jitter", found->jitter.ns, found->jitter.count, fault);
}

int worker_stream(struct worker *worker, const struct json *request, struct fault *fault)
{
    int64_t frames = (int64_t)worker_asked(request, "frames"), inferring = 0;
    struct frames found = {0};
    int good = stream(worker, frames, (int64_t)worker_asked(request, "period_ns"), &found, fault) &&
               keep(worker, &found, fault);
    for (size_t i = 2; i < found.taken.count; i += 3)
        inferring += found.taken.ns[i];
    if (good)
        text_add(&worker->answer,
                 "{\"count\": %zu, \"level_ns\": %.17g, \"ns\": %lld, \"arrived\": %lld, \"waits\": %zu}",
                 found.latency.count, samples_level(&found.latency), (long long)inferring, (long long)frames,
                 found.jitter.count);
    free(found.taken.ns), free(found.latency.ns), free(found.jitter.ns);
    return good;
}
