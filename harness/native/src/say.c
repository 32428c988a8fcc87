#include "say.h"

#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "survey.h"
#include "text.h"

int say_main(const char *folder, const char *name, const char *fields, const char *file)
{
    struct events events;
    events_open(&events, folder);
    struct text *event = events_begin(&events, name);
    text_add(event, "%s", fields);
    if (strcmp(name, "start") == 0) {
        text_add(event, ", \"fingerprint\": ");
        survey_fingerprint(event);
    } else if (strcmp(name, "conditions") == 0) {
        text_add(event, ", ");
        survey_conditions(event, folder);
    }
    if (file) {
        char *said = file_word(file);
        text_add(event, ", \"said\": ");
        text_string(event, said);
        free(said);
    }
    events_end(&events);
    return 0;
}
