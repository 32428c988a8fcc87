/* Plays a known load and reads the meter meanwhile, for `edgeward check --energy`: idle, all cores busy, idle, …
 *
 * What is asked and answered stands in harness/agent/calibration.py. */
#ifndef EDGEWARD_CALIBRATE_H
#define EDGEWARD_CALIBRATE_H

/* Plays the load that is asked for in JSON on standard input, and prints what the meter made of it. */
int calibrate_main(void);

#endif
