/* Speaks for a conductor that is a shell script: a vendor's tool behind an adapter writes the same events. */
#ifndef EDGEWARD_SAY_H
#define EDGEWARD_SAY_H

/* Adds event `name` with `fields` (JSON, beginning with ", ", or empty) to the job's events. `start` gets the
 * fingerprint, `conditions` the conditions, and what stands in `file`, if that is not NULL, becomes `said`. */
int say_main(const char *folder, const char *name, const char *fields, const char *file);

#endif
