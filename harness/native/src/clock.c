#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

/* Between two lines. */
static const double PAUSE_S = 0.01;

int clock_main(const char *times)
{
    for (long left = strtol(times, NULL, 10); left > 0; left--) {
        printf("%lld\n", (long long)now_ns());
        if (fflush(stdout) != 0)
            return 74;
        rest_s(PAUSE_S);
    }
    return 0;
}
