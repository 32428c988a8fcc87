/* How an image becomes the model's input: the sums of harness/agent/images.py, in the same order, in float32. */
#ifndef EDGEWARD_IMAGES_H
#define EDGEWARD_IMAGES_H

#include <stdint.h>

#include "job.h"
#include "npy.h"
#include "text.h"

/* Types of elements; theirs are ONNX's (TensorProto.DataType), for every runtime. */
enum element {
    FLOAT32 = 1, UINT8, INT8, UINT16, INT16, INT32, INT64, TEXT, BOOL, FLOAT16, FLOAT64, UINT32, UINT64, COMPLEX64,
    COMPLEX128, BFLOAT16
};

/* What a type is called; "an unknown type" for one that is not above. */
const char *element_name(enum element type);

/* Whether an input of this type can be made of images; otherwise `fault` says which can. */
int images_make(enum element type, struct fault *fault);

/* A split of images, (N, H, W, C), uint8 or float32, mapped from its file. */
struct images {
    struct npy array;
    size_t count, height, width, channels;
    int is_float;
    float scale, zero_point; /* what an integer input stands for; a scale of 0: nobody says it */
};

int images_open(struct images *images, const struct input_spec *spec, struct fault *fault);

/* Whether an input of this type can be made of the images: where nobody says what its integers stand for, a uint8 model
 * takes the pixels as they are, and one of other integers nothing that is known. */
int images_suit(const struct images *images, enum element type, struct fault *fault);

/* The shape (1, ...) that one image has as an input. */
void images_shape(const struct images *images, const struct input_spec *spec, int64_t shape[4]);

/* Bytes of one input of this type. */
size_t images_bytes(const struct images *images, enum element type);

/* Writes image `index` as an input into `target`. */
void images_prepare(const struct images *images, size_t index, const struct input_spec *spec, enum element type,
                    void *target);

/* IEEE 754 half precision, rounded to nearest even. */
uint16_t half_of(float value);
float float_of_half(uint16_t half);

#endif
