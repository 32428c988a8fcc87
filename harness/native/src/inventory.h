/* Says which of the files a job needs are here and whole: JSON on standard input, JSON on standard output. */
#ifndef EDGEWARD_INVENTORY_H
#define EDGEWARD_INVENTORY_H

/* Reads {path: sha256} and writes the list of paths that are missing or differ; 69 where no program of the device
 * computes digests. */
int inventory_main(void);

#endif
