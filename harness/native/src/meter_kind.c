#include "meter_kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

int meter_reading(const char *folder, const char *name, double bound, double *value, struct fault *fault)
{
    char *path = formatted("%s/%s", folder, name), *text = file_text(path);
    int known = 0;
    if (text == NULL)
        fail(fault, FAULT_METER, "%s: %s", path, strerror(errno));
    else if (!(known = system_number_of(text, -bound, bound, value))) {
        char *word = file_word(path);
        fail(fault, FAULT_METER, "%s holds \"%.40s\", which is no number of a sensor", path, word);
        free(word);
    }
    free(path), free(text);
    return known;
}

int meter_number(const char *path, int64_t *value, struct fault *fault)
{
    char *text = file_text(path), *behind;
    if (text == NULL)
        return fail(fault, FAULT_METER, "%s: %s", path, strerror(errno));
    errno = 0;
    *value = strtoll(text, &behind, 10);
    int known = behind != text && behind[strspn(behind, " \t\r\n")] == 0 && errno == 0;
    free(text);
    if (!known) {
        char *word = file_word(path);
        fail(fault, FAULT_METER, "%s holds \"%.40s\", which is no whole number", path, word);
        free(word);
    }
    return known;
}
