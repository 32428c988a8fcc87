/* SHA-256 of files, computed by a program of the device: sha256sum, or another that does the same. */
#ifndef EDGEWARD_DIGEST_H
#define EDGEWARD_DIGEST_H

#include <stddef.h>

enum { DIGEST_SIZE = 64 };

struct digest {
    char hex[DIGEST_SIZE + 1];
};

/* Writes the digest of each file, "" for one that cannot be read; 0 where the device has no program for it. */
int digest_files(char *const *paths, size_t count, struct digest *digests);

#endif
