#include "worker.h"

#include <stdlib.h>

#include "clock.h"

/* Whether the model takes as many images at once as are asked for; a size that it leaves open takes any. */
static int batches(const struct worker *worker, struct fault *fault)
{
    const struct session *session = &worker->session;
    int batch = (int)worker->job.batch;
    if (batch > 1 && session->runtime->kind->one_at_a_time)
        return fail(fault, ERROR_INPUT,
                    "batch = %d is asked for and LiteRT is given one image at a time; "
                    "take batch out of [load], or measure an .onnx file with a free batch dimension",
                    batch);
    if (batch == 1 || session->axes == 0 || session->shape[0] <= 0)
        return 1;
    return fail(fault, ERROR_INPUT,
                "batch = %d is asked for and the model takes exactly %lld; "
                "export it with a free batch dimension, or take batch out of [load]",
                batch, (long long)session->shape[0]);
}

/* Whether an image fits the input that the model wants; sizes that the model leaves open fit anything. */
static int fits(const struct worker *worker, struct fault *fault)
{
    const struct session *session = &worker->session;
    int64_t given[4];
    images_shape(&worker->images, worker->input, given);
    /* A model may leave even the number of axes open; the runtime then names none. */
    int all = session->axes == 4 || session->axes == 0;
    struct text wanted = {0};
    for (size_t i = 0; i < session->axes; i++) {
        text_add(&wanted, i ? ", " : "");
        if (session->shape[i] > 0)
            text_add(&wanted, "%lld", (long long)session->shape[i]);
        else
            text_add(&wanted, "any");
        all = all && (session->shape[i] <= 0 || session->shape[i] == given[i]);
    }
    if (!all)
        fail(fault, ERROR_INPUT,
             "the model takes (%s) but the data gives (%lld, %lld, %lld, %lld); "
             "set layout under [data.input], or bring images of the model's size and channels",
             wanted.data ? wanted.data : "", (long long)given[0], (long long)given[1], (long long)given[2],
             (long long)given[3]);
    text_free(&wanted);
    return all && batches(worker, fault);
}

struct input *worker_input(struct worker *worker, void *buffer, int batch, struct fault *fault)
{
    int64_t shape[4];
    images_shape(&worker->images, worker->input, shape);
    shape[0] = batch;
    size_t bytes = images_bytes(&worker->images, worker->session.type) * (size_t)batch;
    return session_bind(&worker->session, buffer, bytes, shape, fault);
}

/* Makes inputs ready: as many images as without batches, but whole batches; a small split goes round. */
static int make_ready(struct worker *worker, size_t inputs, struct fault *fault)
{
    size_t batch = (size_t)worker->job.batch, singles = batch * ((inputs + batch - 1) / batch);
    size_t count = batch > 1 || worker->images.count > inputs ? singles / batch : worker->images.count;
    size_t bytes = images_bytes(&worker->images, worker->session.type);
    singles = singles < worker->images.count ? singles : worker->images.count;
    for (size_t i = 0; i < count; i++) {
        char *buffer = need(bytes * batch);
        for (size_t place = 0; place < batch; place++)
            images_prepare(&worker->images, (i * batch + place) % singles, worker->input, worker->session.type,
                           buffer + place * bytes);
        worker->bound[i] = worker_input(worker, buffer, (int)batch, fault);
        if (worker->bound[i] == NULL)
            return 0;
        worker->inputs = i + 1;
    }
    return 1;
}

/* Creates the session; then opens the images and sees that they fit it. `ns`: what the session alone took. */
static int open_session(struct worker *worker, const char *trace, int64_t *ns, struct fault *fault)
{
    struct loading how = {worker->model->path, worker->job.accelerator, trace, (int)worker->job.threads};
    int64_t started = now_ns();
    if (!session_open(&worker->session, &worker->runtime, &how, fault))
        return 0;
    *ns = now_ns() - started;
    if (!images_open(&worker->images, worker->input, fault))
        return 0;
    const struct session *session = &worker->session;
    const struct model *model = worker->model;
    /* What the runtime says of an input comes before what the job says, as in the agent. */
    int said = session->input_scale != 0;
    worker->images.scale = said ? session->input_scale : (float)model->input_scale;
    worker->images.zero_point = said ? session->input_zero_point : (float)(int64_t)model->input_zero_point;
    return session_judge(&worker->session, model->output, model->output_scale, model->output_zero_point, fault) &&
           fits(worker, fault) && images_suit(&worker->images, worker->session.type, fault);
}

/* Finds out whether the accelerator that was asked for is held, untimed. */
static int holds(struct worker *worker, struct fault *fault)
{
    struct loading how = {worker->model->path, worker->job.accelerator, NULL, (int)worker->job.threads};
    return worker->runtime.kind->holds(&worker->session, &how, fault);
}

/* Creates the session, timed alone; then makes the inputs ready, untimed. */
int worker_load(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    int64_t ns = 0;
    if (!open_session(worker, NULL, &ns, fault) || !make_ready(worker, TIMED_INPUTS, fault) ||
        !holds(worker, fault))
        return 0;
    text_add(&worker->answer, "{\"ns\": %lld, \"accelerator\": ", (long long)ns);
    text_string(&worker->answer, worker->session.accelerator);
    text_add(&worker->answer, ", \"images\": %zu", worker->images.count);
    text_add(&worker->answer, "}");
    return 1;
}

/* Says what runs the nodes of the model, seen in one inference of a session that is never timed. */
int worker_placement(struct worker *worker, const struct json *request, struct fault *fault)
{
    (void)request;
    struct text *answer = &worker->answer;
    char *trace = formatted("%s.trace", worker->stem);
    int64_t ns = 0;
    int good = open_session(worker, trace, &ns, fault) && make_ready(worker, 1, fault) &&
               worker_infer(worker, worker->bound[0], fault);
    free(trace);
    if (!good)
        return 0;
    text_add(answer, "{\"wanted\": ");
    text_string(answer, worker->job.accelerator);
    text_add(answer, ", \"offered\": ");
    if (!worker->runtime.kind->offers(&worker->runtime, answer, fault))
        return 0;
    text_add(answer, ", \"nodes\": ");
    if (!worker->runtime.kind->nodes(&worker->session, answer, fault))
        return 0;
    text_add(answer, "}");
    return 1;
}
