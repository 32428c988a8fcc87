#include "images.h"

#include <float.h>
#include <math.h>
#include <string.h>

_Static_assert(FLT_EVAL_METHOD == 0, "float32 sums must be rounded to float32, as numpy does");

int images_open(struct images *images, const struct input_spec *spec, struct fault *fault)
{
    *images = (struct images){0};
    if (!npy_open(&images->array, spec->path, fault))
        return 0;
    const size_t *shape = images->array.shape;
    images->is_float = strcmp(images->array.type, "f4") == 0;
    if (images->array.axes != 4 || (!images->is_float && strcmp(images->array.type, "u1") != 0))
        return fail(fault, ERROR_INPUT, "the images are not (N, H, W, C) of uint8 or float32");
    images->count = shape[0], images->height = shape[1], images->width = shape[2], images->channels = shape[3];
    size_t means = spec->mean.count, deviations = spec->std.count;
    if ((means != 1 && means != images->channels) || (deviations != 1 && deviations != images->channels))
        return fail(fault, ERROR_INPUT,
                    "%zu means and %zu deviations do not fit images with %zu channels; give one, or one a channel",
                    means, deviations, images->channels);
    return images->count ? 1 : fail(fault, ERROR_INPUT, "the data has no samples");
}

/* The range of an integer type; 0 for others. */
static int range_of(enum element type, float *low, float *high)
{
    *low = type == INT8 ? -128 : type == INT16 ? -32768 : 0;
    *high = type == INT8 ? 127 : type == UINT8 ? 255 : type == INT16 ? 32767 : 65535;
    return type == INT8 || type == UINT8 || type == INT16 || type == UINT16;
}

const char *element_name(enum element type)
{
    static const char *const names[] = {
        [FLOAT32] = "float32", [UINT8] = "uint8",     [INT8] = "int8",         [UINT16] = "uint16",
        [INT16] = "int16",     [INT32] = "int32",     [INT64] = "int64",       [TEXT] = "text",
        [BOOL] = "bool",       [FLOAT16] = "float16", [FLOAT64] = "float64",   [UINT32] = "uint32",
        [UINT64] = "uint64",   [COMPLEX64] = "complex64", [COMPLEX128] = "complex128", [BFLOAT16] = "bfloat16",
    };
    const char *name = (size_t)type < sizeof names / sizeof *names ? names[type] : NULL;
    return name ? name : "an unknown type";
}

int images_make(enum element type, struct fault *fault)
{
    float low, high;
    return type == FLOAT32 || type == FLOAT16 || range_of(type, &low, &high) ||
           fail(fault, ERROR_INPUT,
                "the model's input is %s, and the native runner makes float32, float16, uint8, int8, uint16 and int16 "
                "of images; export it with a float32 input",
                element_name(type));
}

int images_suit(const struct images *images, enum element type, struct fault *fault)
{
    float low, high;
    if (images->scale != 0 || !range_of(type, &low, &high) || (type == UINT8 && !images->is_float))
        return 1;
    return fail(fault, ERROR_INPUT,
                "the model takes %s without saying what it stands for, and the images are %s; "
                "export it with quantisation parameters, or with a float32 input",
                element_name(type), images->is_float ? "float32" : "uint8");
}

static int leads_with_channels(const struct input_spec *spec)
{
    return strcmp(spec->layout, "NCHW") == 0;
}

void images_shape(const struct images *images, const struct input_spec *spec, int64_t shape[4])
{
    int64_t height = (int64_t)images->height, width = (int64_t)images->width, channels = (int64_t)images->channels;
    shape[0] = 1;
    int channels_first = leads_with_channels(spec);
    shape[1] = channels_first ? channels : height;
    shape[2] = channels_first ? height : width;
    shape[3] = channels_first ? width : channels;
}

size_t images_bytes(const struct images *images, enum element type)
{
    size_t each = type == FLOAT32 ? 4 : type == INT8 || type == UINT8 ? 1 : 2;
    return each * images->height * images->width * images->channels;
}

uint16_t half_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return (uint16_t)(sign | 0x7C00 | magnitude >> 13 | (magnitude >> 13 & 0x3FF ? 0 : 1));
    if (magnitude >= 0x477FF000)
        return (uint16_t)(sign | 0x7C00);
    if (magnitude <= 0x33000000)
        return (uint16_t)sign;
    /* Cut to ten bits of fraction, fewer below the smallest normal number, and round what was cut to even. */
    int exponent = (int)(magnitude >> 23), cut = exponent < 113 ? 126 - exponent : 13;
    uint32_t fraction = exponent < 113 ? (magnitude & 0x7FFFFF) | 0x800000 : magnitude - (112u << 23);
    uint32_t kept = fraction >> cut, rest = fraction & ((1u << cut) - 1), middle = 1u << (cut - 1);
    return (uint16_t)(sign | (kept + (rest > middle || (rest == middle && (kept & 1)))));
}

float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Rounds to the nearest, to even in the middle, and keeps what the type holds, as numpy's round and clip do. */
static int quantized(float value, const struct images *images, enum element type)
{
    float low, high;
    range_of(type, &low, &high);
    float whole = rintf(value / images->scale) + images->zero_point;
    return (int)(whole < low ? low : whole > high ? high : whole);
}

static void put(const struct images *images, float pixel, float mean, float std, float scale, enum element type,
                void *target, size_t at)
{
    if (type == UINT8 && images->scale == 0) {
        ((uint8_t *)target)[at] = (uint8_t)pixel;
        return;
    }
    float value = (pixel * scale - mean) / std;
    if (type == UINT8)
        ((uint8_t *)target)[at] = (uint8_t)quantized(value, images, type);
    else if (type == INT8)
        ((int8_t *)target)[at] = (int8_t)quantized(value, images, type);
    else if (type == FLOAT32)
        ((float *)target)[at] = value;
    else if (type == UINT16)
        ((uint16_t *)target)[at] = (uint16_t)quantized(value, images, type);
    else if (type == INT16)
        ((int16_t *)target)[at] = (int16_t)quantized(value, images, type);
    else
        ((uint16_t *)target)[at] = half_of(value);
}

/* The number of a channel, where there may be one for all. */
static float one_of(const job_numbers *numbers, size_t channel)
{
    return numbers->value[numbers->count == 1 ? 0 : channel];
}

void images_prepare(const struct images *images, size_t index, const struct input_spec *spec, enum element type,
                    void *target)
{
    size_t channels = images->channels, area = images->height * images->width, first = index * area * channels;
    const float *floats = (const float *)images->array.data;
    const uint8_t *bytes = images->array.data;
    float scale = (float)spec->scale;
    int channels_first = leads_with_channels(spec);
    for (size_t place = 0; place < area; place++)
        for (size_t channel = 0; channel < channels; channel++) {
            size_t from = first + place * channels + channel;
            float pixel = images->is_float ? floats[from] : (float)bytes[from];
            float mean = one_of(&spec->mean, channel), std = one_of(&spec->std, channel);
            size_t to = channels_first ? channel * area + place : place * channels + channel;
            put(images, pixel, mean, std, scale, type, target, to);
        }
}
