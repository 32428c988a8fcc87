#include "samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "text.h"

void samples_reserve(struct samples *samples)
{
    if (samples->count < samples->room)
        return;
    samples->room = samples->room ? samples->room * 2 : 1024;
    samples->ns = need_again(samples->ns, samples->room * sizeof *samples->ns);
}

int64_t samples_sum(const struct samples *samples)
{
    int64_t sum = 0;
    for (size_t i = 0; i < samples->count; i++)
        sum += samples->ns[i];
    return sum;
}

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int64_t *sorted(const struct samples *samples)
{
    int64_t *copy = need(samples->count * sizeof *copy);
    memcpy(copy, samples->ns, samples->count * sizeof *copy);
    qsort(copy, samples->count, sizeof *copy, ascending);
    return copy;
}

double samples_median(const struct samples *samples)
{
    int64_t *ordered = sorted(samples);
    size_t middle = samples->count / 2;
    double median = samples->count % 2 ? (double)ordered[middle] : (double)(ordered[middle - 1] + ordered[middle]) / 2;
    free(ordered);
    return median;
}

double samples_level(const struct samples *samples)
{
    int64_t *ordered = sorted(samples);
    double third = 1.0 / 3.0, count = (double)samples->count, last = count - 1, least = 2 * third / (count + third);
    double quantile = least > ROUND_QUANTILE ? least : ROUND_QUANTILE;
    double place = count * quantile + (third + quantile * (1 - third - third)) - 1;
    place = place < 0 ? 0 : place > last ? last : place;
    size_t below = (size_t)floor(place), above = below + 1 < samples->count ? below + 1 : below;
    double low = (double)ordered[below], high = (double)ordered[above];
    free(ordered);
    return low + (high - low) * (place - floor(place));
}
