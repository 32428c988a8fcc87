/* SHA-256 (FIPS 180-4), for devices without a tool for it. */
#ifndef EDGEWARD_SHA256_H
#define EDGEWARD_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t size;
    unsigned char block[64];
};

void sha256_start(struct sha256 *sum);
void sha256_add(struct sha256 *sum, const void *data, size_t size);
void sha256_end(struct sha256 *sum, char hex[65]);

/* The digest of a file in hexadecimal; "" and 0 when it cannot be read. */
int sha256_file(const char *path, char hex[65]);

#endif
