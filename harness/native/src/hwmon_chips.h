/* The chips under /sys/class/hwmon that a meter means. */
#ifndef EDGEWARD_HWMON_CHIPS_H
#define EDGEWARD_HWMON_CHIPS_H

#include <stddef.h>

#include "text.h"

#define HWMON "/sys/class/hwmon"

/* Folders with channels, each a string of its own. */
struct folders {
    char **folder;
    size_t count;
};

/* Takes `folder` over. */
void hwmon_add_folder(struct folders *folders, char *folder);
void hwmon_free_folders(struct folders *folders);

/* The address on its bus of the chip with a folder, a new string; "" where it has none. */
char *hwmon_address(const char *folder);

/* Adds the folders of the chips that are meant, of all where `wanted` is ""; 0 with `fault` where none is called so. */
int hwmon_chips(const char *wanted, struct folders *folders, struct fault *fault);

#endif
