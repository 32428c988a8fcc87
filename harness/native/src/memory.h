/* Memory of this process as the kernel counts it, in bytes; what the kernel does not say is left out. */
#ifndef EDGEWARD_MEMORY_H
#define EDGEWARD_MEMORY_H

#include "text.h"

/* Adds {"peak_rss_bytes": N, ...} from VmHWM, VmRSS and VmSwap of status, Pss and SwapPss of smaps_rollup. */
void memory_add(struct text *answer);

#endif
