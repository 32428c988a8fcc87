/* Writes events for a shell script that runs a vendor's tool in place of the conductor. */
#ifndef EDGEWARD_SAY_H
#define EDGEWARD_SAY_H

/* Adds event `name` with `fields` (JSON, beginning with ", ", or empty) to the job's events. `start` gets the
 * fingerprint, `conditions` the conditions, where `zone` is the type of the thermal zone that is meant, "" for all, and
 * what stands in `file`, if that is not "", becomes `said`. */
int say_main(const char *folder, const char *name, const char *fields, const char *file, const char *zone);

#endif
