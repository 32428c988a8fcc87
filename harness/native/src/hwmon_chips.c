/* The chips under /sys/class/hwmon, and what stays of them when the device is started anew. */
#include "hwmon_chips.h"

#include <glob.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "meter_kind.h"

void hwmon_add_folder(struct folders *folders, char *folder)
{
    folders->folder = need_again(folders->folder, (folders->count + 1) * sizeof *folders->folder);
    folders->folder[folders->count++] = folder;
}

void hwmon_free_folders(struct folders *folders)
{
    for (size_t i = 0; i < folders->count; i++)
        free(folders->folder[i]);
    free(folders->folder);
}

/* The address on its bus of the chip with a folder, a new string; "" where it has none. */
char *hwmon_address(const char *folder)
{
    struct stat facts;
    size_t length = strlen(folder);
    int below = length > 7 && strcmp(folder + length - 7, "/device") == 0;
    char *device = below ? copy_of(folder) : formatted("%s/device", folder);
    char *real = lstat(device, &facts) == 0 && S_ISLNK(facts.st_mode) ? realpath(device, NULL) : NULL;
    char *address = copy_of(real ? strrchr(real, '/') + 1 : "");
    free(device), free(real);
    return address;
}

static char *name_of(const char *place)
{
    char *path = formatted("%s/name", place), *name = file_word(path);
    free(path);
    return name;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Says which chips there are, as none is called what is wanted. */
static int no_such_chip(const char *wanted, const glob_t *places, struct fault *fault)
{
    struct text seen = {0};
    char **names = need(places->gl_pathc * sizeof *names);
    for (size_t i = 0; i < places->gl_pathc; i++)
        names[i] = name_of(places->gl_pathv[i]);
    qsort(names, places->gl_pathc, sizeof *names, by_name);
    for (size_t i = 0; i < places->gl_pathc; i++)
        if (*names[i] && (i == 0 || strcmp(names[i], names[i - 1]) != 0))
            text_add(&seen, "%s%s", seen.size ? ", " : "", names[i]);
    for (size_t i = 0; i < places->gl_pathc; i++)
        free(names[i]);
    free(names);
    fail(fault, FAULT_METER, "no chip under " HWMON " is called \"%s\"; there is: %s", wanted,
         seen.size ? seen.data : "none");
    text_free(&seen);
    return 0;
}

/* Adds the place, and the folder one further down where drivers written before 2013 keep their channels. */
static void add_place(const char *place, struct folders *folders)
{
    hwmon_add_folder(folders, copy_of(place));
    hwmon_add_folder(folders, formatted("%s/device", place));
}

/* The part of a path that is a place of sysfs whose number is given out anew at each start of the device, a new string;
 * NULL where none is. */
static char *numbered(const char *path)
{
    char *found = NULL;
    for (const char *at = strstr(path, "/hwmon"); at && strncmp(path, "/sys/", 5) == 0; at = strstr(at + 1, "/hwmon")) {
        size_t digits = strspn(at + 6, "0123456789");
        if (digits && (at[6 + digits] == 0 || at[6 + digits] == '/')) {
            free(found);
            found = formatted("%.*s", (int)(at - path + 6 + (ptrdiff_t)digits), path);
        }
    }
    return found;
}

/* What a chip is called after every start, a new string: its address, else its name if no other has it, else "". */
static char *lasting(const char *place)
{
    char *address = hwmon_address(place), *name = name_of(place);
    glob_t places = {0};
    size_t alike = 0;
    if (*address) {
        free(name);
        return address;
    }
    glob(HWMON "/*", 0, NULL, &places);
    for (size_t i = 0; i < places.gl_pathc; i++) {
        char *other = name_of(places.gl_pathv[i]);
        alike += strcmp(other, name) == 0;
        free(other);
    }
    globfree(&places);
    free(address);
    if (alike != 1)
        *name = 0;
    return name;
}

/* Whether a chip is called so: by its driver's name, its address on the bus or its label. */
static int is_called(const char *place, const char *wanted)
{
    char *path = formatted("%s/label", place), *label = file_word(path), *name = name_of(place);
    char *address = hwmon_address(place);
    int called = strcmp(name, wanted) == 0 || strcmp(address, wanted) == 0 || strcmp(label, wanted) == 0;
    free(path), free(label), free(name), free(address);
    return called;
}

/* The folders of the chips that are meant; 0 with `fault` where none is called so. */
int hwmon_chips(const char *wanted, struct folders *folders, struct fault *fault)
{
    glob_t places = {0};
    if (strchr(wanted, '/')) {
        char *place = numbered(wanted), *better = place ? lasting(place) : copy_of("");
        int refused = *better != 0;
        if (refused)
            fail(fault, FAULT_METER,
                 "the number in %s may be another chip's after a start of the device; write chip = \"%s\"", wanted,
                 better);
        free(place), free(better);
        if (refused)
            return 0;
        add_place(wanted, folders);
        return 1;
    }
    glob(HWMON "/*", 0, NULL, &places);
    for (size_t i = 0; i < places.gl_pathc; i++)
        if (*wanted == 0 || is_called(places.gl_pathv[i], wanted))
            add_place(places.gl_pathv[i], folders);
    int good = *wanted == 0 || folders->count || no_such_chip(wanted, &places, fault);
    globfree(&places);
    return good;
}
