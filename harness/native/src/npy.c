#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What stands behind `'key': ` in the header's dictionary, NULL if nothing does. */
static const char *entry(const char *header, const char *key)
{
    const char *found = strstr(header, key);
    return found ? found + strlen(key) + strspn(found + strlen(key), ": ") : NULL;
}

static int parse_shape(struct npy *array, const char *at)
{
    if (*at != '(')
        return 0;
    for (at++; *at != ')';) {
        char *behind;
        unsigned long long size = strtoull(at, &behind, 10);
        if (behind == at || array->axes == NPY_AXES)
            return 0;
        array->shape[array->axes++] = (size_t)size;
        at = behind + strspn(behind, ", ");
    }
    return 1;
}

static int parse_header(struct npy *array, const char *header)
{
    const char *descr = entry(header, "'descr'"), *order = entry(header, "'fortran_order'");
    const char *shape = entry(header, "'shape'");
    if (!descr || !order || !shape || strncmp(order, "False", 5) != 0 || strlen(descr) < 5)
        return 0;
    if (descr[0] != '\'' || !strchr("<|", descr[1]) || descr[4] != '\'')
        return 0;
    memcpy(array->type, descr + 2, 2);
    return parse_shape(array, shape);
}

/* The bytes that the array's data take, or SIZE_MAX. */
static size_t data_size(const struct npy *array)
{
    size_t bytes = (size_t)(array->type[1] - '0');
    for (size_t i = 0; i < array->axes; i++)
        if (__builtin_mul_overflow(bytes, array->shape[i], &bytes))
            return SIZE_MAX;
    return bytes;
}

static int understand(struct npy *array)
{
    const unsigned char *raw = array->mapping;
    if (array->mapped < 12 || memcmp(raw, "\x93NUMPY", 6) != 0 || raw[6] < 1 || raw[6] > 2)
        return 0;
    size_t start = raw[6] == 1 ? 10 : 12, length = raw[8] | (size_t)raw[9] << 8;
    if (raw[6] == 2)
        length |= (size_t)raw[10] << 16 | (size_t)raw[11] << 24;
    if (length > array->mapped - start)
        return 0;
    char *header = need(length + 1);
    memcpy(header, raw + start, length);
    header[length] = 0;
    int good = parse_header(array, header);
    free(header);
    array->data = raw + start + length;
    return good && data_size(array) <= array->mapped - start - length;
}

int npy_open(struct npy *array, const char *path, struct fault *fault)
{
    *array = (struct npy){0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (file < 0 || fstat(file, &facts) < 0) {
        int why = errno;
        if (file >= 0)
            close(file);
        return fail(fault, ERROR_DISK, "%s cannot be read: %s", path, strerror(why));
    }
    array->mapped = (size_t)facts.st_size;
    array->mapping = array->mapped ? mmap(NULL, array->mapped, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    close(file);
    if (array->mapping != MAP_FAILED && understand(array))
        return 1;
    npy_close(array);
    return fail(fault, ERROR_INPUT, "%s is no whole .npy file of a kind that is read here", path);
}

void npy_close(struct npy *array)
{
    if (array->mapping && array->mapping != MAP_FAILED)
        munmap(array->mapping, array->mapped);
    array->mapping = NULL;
}

int npy_header(FILE *file, const char *descr, const size_t *shape, size_t axes)
{
    struct text text = {0};
    text_add(&text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (size_t i = 0; i < axes; i++)
        text_add(&text, i + 1 < axes || axes == 1 ? "%zu, " : "%zu", shape[i]);
    text_add(&text, ")}");
    while ((text.size + 11) % 64)
        text_bytes(&text, " ", 1);
    text_bytes(&text, "\n", 1);
    unsigned char start[10] = "\x93NUMPY\x01\x00";
    start[8] = (unsigned char)(text.size & 0xFF);
    start[9] = (unsigned char)(text.size >> 8);
    int good = fwrite(start, sizeof start, 1, file) == 1 && fwrite(text.data, text.size, 1, file) == 1;
    text_free(&text);
    return good;
}

int npy_write(const char *path, const char *descr, const size_t *shape, size_t axes, const void *data, size_t bytes)
{
    char *part = formatted("%s.part", path);
    FILE *file = fopen(part, "wbe");
    int good = file && npy_header(file, descr, shape, axes) && (bytes == 0 || fwrite(data, bytes, 1, file) == 1);
    if (file)
        good = fclose(file) == 0 && good;
    good = good && rename(part, path) == 0;
    free(part);
    return good;
}
