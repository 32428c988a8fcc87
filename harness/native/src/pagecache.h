/* Whether a model's file is in the system's page cache, and how it gets there or out: neither needs root. */
#ifndef EDGEWARD_PAGECACHE_H
#define EDGEWARD_PAGECACHE_H

#include "text.h"

/* Reads a file through and adds ", "page_cache": ..." and, where known, "resident" (0..1) to `fields`; always 1. */
int pagecache_warm(const char *path, struct text *fields);

/* Drops a file from the page cache and adds the same; 0 with "absent", the reason, where it stays. */
int pagecache_evict(const char *path, struct text *fields);

#endif
