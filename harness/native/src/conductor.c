#include "conductor.h"

#include <stdlib.h>
#include <unistd.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t conductor_random(struct conductor *conductor)
{
    uint64_t mixed = conductor->random += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

size_t conductor_shuffled(struct conductor *conductor, const int *wanted, size_t *order)
{
    size_t count = 0;
    for (size_t i = 0; i < conductor->job.models; i++)
        if (wanted[i])
            order[count++] = i;
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)(conductor_random(conductor) % i), held = order[i - 1];
        order[i - 1] = order[other];
        order[other] = held;
    }
    return count;
}

size_t conductor_originals(struct conductor *conductor, size_t *order)
{
    size_t models = conductor->job.models;
    int *wanted = need(models * sizeof *wanted);
    for (size_t i = 0; i < models; i++)
        wanted[i] = conductor->alive[i] && conductor->job.model[i].copy_of == NO_COPY;
    size_t count = conductor_shuffled(conductor, wanted, order);
    free(wanted);
    return count;
}

size_t conductor_original(const struct conductor *conductor, size_t index)
{
    int64_t original = conductor->job.model[index].copy_of;
    return original == NO_COPY ? index : (size_t)original;
}

int conductor_start(struct conductor *conductor, size_t index, struct process *process, struct fault *fault)
{
    int accelerated = conductor->accelerated[conductor_original(conductor, index)];
    const struct process like = {.deadline_s = conductor->job.plan.deadline_s,
                                 .spent = &conductor->spent,
                                 .presence = &conductor->presence,
                                 .accelerated = accelerated ? conductor->job.accelerator : ""};
    return process_start(process, &conductor->program, conductor->job.folder, index, &like, fault);
}

void conductor_drop(struct conductor *conductor, size_t index, const char *phase, const struct fault *fault)
{
    conductor->alive[index] = 0;
    struct text *event = events_begin(&conductor->events, EVENT_ERROR);
    text_add(event, ", \"model\": %zu, \"phase\": \"%s\", \"kind\": ", index, phase);
    text_string(event, fault->kind);
    text_add(event, ", \"message\": ");
    text_string(event, fault->message);
    events_end(&conductor->events);
}

int conductor_has_file(const struct conductor *conductor, const char *name)
{
    char *path = formatted("%s/%s", conductor->job.folder, name);
    int found = access(path, F_OK) == 0;
    free(path);
    return found;
}
