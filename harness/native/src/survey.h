/* Reads what the device is (fingerprint) and how it is just now (conditions); what cannot be read is left out. */
#ifndef EDGEWARD_SURVEY_H
#define EDGEWARD_SURVEY_H

#include <stdint.h>

#include "text.h"

/* Adds a JSON object: what could change a number and does not change by itself. */
void survey_fingerprint(struct text *target);

/* Adds the fields of the state of the device now, SI units, without braces; `folder` is whose free space counts, `zone`
 * the type of the thermal zone that is meant, "" for all. */
void survey_conditions(struct text *target, const char *folder, const char *zone);

/* Prints fingerprint, conditions, clock and abilities as one JSON object. */
int survey_main(const char *folder, const char *zone);

#endif
