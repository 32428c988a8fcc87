#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct field {
    const char *label, *name;
};

static void add_fields(struct text *answer, const char *path, const struct field *fields, size_t count)
{
    char *whole = file_text(path);
    if (whole == NULL) {
        char *unread = formatted("%s: %s", path, strerror(errno));
        text_add(answer, "%s\"unread\": ", answer->data[answer->size - 1] == '{' ? "" : ", ");
        text_string(answer, unread);
        free(unread);
    }
    for (char *line = whole ? strtok(whole, "\n") : NULL; line; line = strtok(NULL, "\n"))
        for (size_t i = 0; i < count; i++) {
            size_t length = strlen(fields[i].label);
            if (strncmp(line, fields[i].label, length) == 0 && line[length] == ':')
                text_add(answer, "%s\"%s\": %lld", answer->data[answer->size - 1] == '{' ? "" : ", ", fields[i].name,
                         strtoll(line + length + 1, NULL, 10) * 1024);
        }
    free(whole);
}

void memory_add(struct text *answer)
{
    static const struct field status[] = {
        {"VmHWM", "peak_rss_bytes"}, {"VmRSS", "rss_bytes"}, {"VmSwap", "swap_bytes"}};
    static const struct field rollup[] = {{"Pss", "pss_bytes"}, {"SwapPss", "swap_pss_bytes"}};
    text_add(answer, "{");
    add_fields(answer, "/proc/self/status", status, 3);
    add_fields(answer, "/proc/self/smaps_rollup", rollup, 2);
    text_add(answer, "}");
}
