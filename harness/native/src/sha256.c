#include "sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turned(uint32_t value, int by)
{
    return value >> by | value << (32 - by);
}

static void schedule(const unsigned char *block, uint32_t word[64])
{
    for (int i = 0; i < 16; i++)
        word[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
                  block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = word[i - 15], b = word[i - 2];
        uint32_t small = turned(a, 7) ^ turned(a, 18) ^ a >> 3, great = turned(b, 17) ^ turned(b, 19) ^ b >> 10;
        word[i] = word[i - 16] + small + word[i - 7] + great;
    }
}

static void digest_block(struct sha256 *sum, const unsigned char *block)
{
    uint32_t word[64], a = sum->state[0], b = sum->state[1], c = sum->state[2], d = sum->state[3];
    uint32_t e = sum->state[4], f = sum->state[5], g = sum->state[6], h = sum->state[7];
    schedule(block, word);
    for (int i = 0; i < 64; i++) {
        uint32_t choice = (e & f) ^ (~e & g), most = (a & b) ^ (a & c) ^ (b & c);
        uint32_t one = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + choice + ROUND[i] + word[i];
        uint32_t two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + most;
        h = g, g = f, f = e, e = d + one;
        d = c, c = b, b = a, a = one + two;
    }
    const uint32_t last[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        sum->state[i] += last[i];
}

void sha256_start(struct sha256 *sum)
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sum->state, first, sizeof first);
    sum->size = 0;
}

void sha256_add(struct sha256 *sum, const void *data, size_t size)
{
    const unsigned char *at = data;
    while (size) {
        size_t held = sum->size % 64, take = 64 - held < size ? 64 - held : size;
        memcpy(sum->block + held, at, take);
        sum->size += take;
        at += take;
        size -= take;
        if (held + take == 64)
            digest_block(sum, sum->block);
    }
}

void sha256_end(struct sha256 *sum, char hex[65])
{
    static const unsigned char padding[64] = {0x80};
    uint64_t bits = sum->size * 8;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_add(sum, padding, 1 + (119 - sum->size % 64) % 64);
    sha256_add(sum, length, sizeof length);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", (unsigned)sum->state[i]);
}

int sha256_file(const char *path, char hex[65])
{
    enum { CHUNK = 1 << 16 };
    hex[0] = 0;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return 0;
    struct sha256 sum;
    sha256_start(&sum);
    unsigned char *chunk = need(CHUNK);
    for (size_t size; (size = fread(chunk, 1, CHUNK, file)) > 0;)
        sha256_add(&sum, chunk, size);
    int whole = !ferror(file);
    fclose(file);
    free(chunk);
    if (whole)
        sha256_end(&sum, hex);
    return whole;
}
