/* Prints a job's events as they come, whole lines from a byte offset on, until the job ends or its conductor dies. */
#ifndef EDGEWARD_FOLLOW_H
#define EDGEWARD_FOLLOW_H

/* Adds one event `gone`, never part of the file, when the conductor is gone without a final `done`. */
int follow_main(const char *folder, const char *offset);

#endif
