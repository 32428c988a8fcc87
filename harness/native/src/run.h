/* Measures a job from its first phase to its last, in a process of its own.
 *
 * `job.json` in; `events.jsonl` and arrays out. It needs no connection and decides nothing about statistics: the host
 * may leave a file `stop` (end the timed pass after this launch) or `stop-INDEX` (that model is decided) in the job
 * directory. A model that fails is left out from then on and does not disturb the others. */
#ifndef EDGEWARD_RUN_H
#define EDGEWARD_RUN_H

/* Measures the job in `folder`; `detach`: returns at once and goes on in a session of its own. `name`: how this program
 * was started. */
int run_main(const char *name, const char *folder, int detach);

#endif
