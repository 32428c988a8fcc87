/* One model, held by any runtime: what every part of a worker asks for. */
#ifndef EDGEWARD_SESSION_H
#define EDGEWARD_SESSION_H

#include "runtime.h"

int session_open(struct session *session, const struct runtime *runtime, const struct loading *how,
                 struct fault *fault);

/* Says which output is judged, by its name, "" for the first, and what its integers stand for; 0: as they are. */
int session_judge(struct session *session, const char *name, double scale, double zero_point, struct fault *fault);

struct input *session_bind(const struct session *session, void *data, size_t bytes, const int64_t *shape,
                           struct fault *fault);
void session_unbind(const struct session *session, struct input *input);

int session_call(const struct session *session, const struct input *input, struct outputs *outputs,
                 struct fault *fault);
void session_release(const struct session *session, struct outputs *outputs);

/* The output that is judged without its batch axis, as float32: its shape, and a new array. NULL with `fault`. */
float *session_result(const struct session *session, const struct outputs *outputs, size_t *shape, size_t *axes,
                      size_t *count, struct fault *fault);

#endif
