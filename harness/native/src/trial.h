/* Tries what a job would need, for `edgeward check`: does the meter move, does the runtime start, what does it offer?
 *
 * The answer is one JSON object on standard output; what does not work is an answer too, with the reason under
 * `refused`. */
#ifndef EDGEWARD_TRIAL_H
#define EDGEWARD_TRIAL_H

/* Reads the meter, whose `[meter]` table is JSON on standard input, for two seconds and prints what it did. */
int trial_meter(void);

/* Loads the runtime from its folder and prints its facts and accelerators; 64 for one that is not known here. */
int trial_runtime(const char *name, const char *folder);

#endif
