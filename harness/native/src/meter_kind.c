#include "meter_kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int meter_number(const char *path, int64_t *value, struct fault *fault)
{
    char *text = file_text(path), *behind;
    if (text == NULL)
        return fail(fault, FAULT_METER, "%s: %s", path, strerror(errno));
    errno = 0;
    *value = strtoll(text, &behind, 10);
    int known = behind != text && behind[strspn(behind, " \t\r\n")] == 0 && errno == 0;
    if (!known)
        fail(fault, FAULT_METER, "%s holds \"%.40s\", which is no whole number", path, text);
    free(text);
    return known;
}
