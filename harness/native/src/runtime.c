#include "runtime.h"

#include <string.h>

static const struct runtime_kind *const KINDS[] = {&RUNTIME_ONNXRUNTIME, &RUNTIME_LITERT};

const struct runtime_kind *runtime_kind(const char *name)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i]->name, name) == 0)
            return KINDS[i];
    return NULL;
}

int runtime_open(struct runtime *runtime, const struct runtime_kind *kind, const char *folder, struct fault *fault)
{
    *runtime = (struct runtime){.kind = kind};
    return kind->open(runtime, folder, fault);
}
