#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "survey.h"
#include "text.h"

static int is_event(const char *name)
{
    static const char *const kinds[] = EVENT_KINDS;
    for (size_t i = 0; kinds[i]; i++)
        if (strcmp(kinds[i], name) == 0)
            return 1;
    return 0;
}

int say_main(const char *folder, const char *name, const char *fields, const char *file, const char *zone)
{
    struct events events;
    if (!is_event(name)) {
        fprintf(stderr, "there is no event %s\n", name);
        return NO_SUCH_COMMAND;
    }
    events_open(&events, folder);
    struct text *event = events_begin(&events, name);
    text_add(event, "%s", fields);
    if (strcmp(name, EVENT_START) == 0) {
        text_add(event, ", \"fingerprint\": ");
        survey_fingerprint(event);
    } else if (strcmp(name, EVENT_CONDITIONS) == 0) {
        text_add(event, ", ");
        survey_conditions(event, folder, zone);
    }
    if (*file) {
        char *said = file_word(file);
        text_add(event, ", \"said\": ");
        text_string(event, said);
        free(said);
    }
    events_end(&events);
    return 0;
}
