/* The .npy files that are read and written here: C order, little-endian (numpy.lib.format, versions 1 and 2). */
#ifndef EDGEWARD_NPY_H
#define EDGEWARD_NPY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "text.h"

enum { NPY_AXES = 8 };

/* A mapped array; `type` is numpy's letter and size, as in "u1" and "f4". */
struct npy {
    char type[3];
    size_t axes, shape[NPY_AXES];
    const void *data;
    void *mapping;
    size_t mapped;
};

/* Maps a file; 0 with `fault` when it is no such array or is cut short. */
int npy_open(struct npy *array, const char *path, struct fault *fault);
void npy_close(struct npy *array);

/* Writes the header of version 1.0 for `descr` as in "<i8"; 0 with errno on failure. */
int npy_header(FILE *file, const char *descr, const size_t *shape, size_t axes);

/* Writes a whole array, which appears under its name whole or not at all; 0 with errno on failure. */
int npy_write(const char *path, const char *descr, const size_t *shape, size_t axes, const void *data, size_t bytes);

#endif
