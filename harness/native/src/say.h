/* Writes events for a shell script that runs a vendor's tool in place of the conductor. */
#ifndef EDGEWARD_SAY_H
#define EDGEWARD_SAY_H

/* Adds event `name` with `fields` (JSON, beginning with ", ", or empty) to the job's events. `start` gets the
 * fingerprint, `conditions` the conditions, and what stands in `file`, if that is not NULL, becomes `said`. */
int say_main(const char *folder, const char *name, const char *fields, const char *file);

#endif
