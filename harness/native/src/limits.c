#include "limits.h"

#include <stdlib.h>
#include <string.h>

#include "system.h"
#include "text.h"

#define ROOT "/sys/fs/cgroup"

/* How the two versions of the kernel's interface call limit, use and reclaimable cache. */
struct names {
    const char *limit, *used, *inactive, *active;
};

/* The number behind `label` in a text of lines `label number`; 0 without one. */
static int64_t listed(const char *text, const char *label)
{
    size_t length = strlen(label);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, label, length) == 0 && line[length] == ' ')
            return strtoll(line + length + 1, NULL, 10);
    return 0;
}

static int64_t number_in(const char *folder, const char *name)
{
    double number;
    char *path = formatted("%s/%s", folder, name);
    int known = system_number(path, 0, 0x1p63, &number);
    free(path);
    return known && number < 0x1p63 ? (int64_t)number : -1;
}

static void lower(int64_t *least, int64_t value)
{
    if (*least < 0 || value < *least)
        *least = value;
}

static void look_at(const char *folder, const struct names *names, int64_t *total, int64_t *available)
{
    int64_t limit = number_in(folder, names->limit), used = number_in(folder, names->used);
    if (limit < 0 || used < 0)
        return;
    char *path = formatted("%s/memory.stat", folder), *stat = file_text(path);
    int64_t left = limit - used + listed(stat, names->inactive) + listed(stat, names->active);
    lower(total, limit);
    lower(available, left > 0 ? left : 0);
    free(path), free(stat);
}

/* Lowers both to what a group and all it belongs to allow; inside a container only the root's may be seen. */
static void look_up(const char *root, const char *group, const struct names *names, int64_t *total, int64_t *available)
{
    char *folder = formatted("%s%s", root, group), *slash;
    while (strlen(folder) > strlen(root)) {
        look_at(folder, names, total, available);
        slash = strrchr(folder, '/');
        *slash = 0;
    }
    look_at(root, names, total, available);
    free(folder);
}

/* The path of this process's group below the folder of the controller `memory`, which goes to `root`; NULL without
 * one. */
static char *own_group(int second, const char **root)
{
    char *whole = file_text("/proc/self/cgroup"), *found = NULL;
    for (char *line = whole ? strtok(whole, "\n") : NULL; line && !found; line = strtok(NULL, "\n")) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = 0;
        if (second ? *++controllers == 0 : strstr(controllers, "memory") != NULL)
            found = copy_of(path);
    }
    free(whole);
    *root = second ? ROOT : ROOT "/memory";
    return found;
}

static void lower_both(int64_t *total, int64_t *available)
{
    static const struct names names[] = {
        {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file"},
        {"memory.max", "memory.current", "inactive_file", "active_file"}};
    for (int second = 0; second < 2; second++) {
        const char *root;
        char *group = own_group(second, &root);
        if (group)
            look_up(root, group, &names[second], total, available);
        free(group);
    }
}

int64_t limits_total(void)
{
    int64_t total = system_meminfo("MemTotal"), available = -1;
    lower_both(&total, &available);
    return total;
}

int64_t limits_available(void)
{
    int64_t total = -1, available = system_meminfo("MemAvailable");
    lower_both(&total, &available);
    return available;
}

static void add_count(struct kills *kills, size_t *count, char *file)
{
    char *text = file_text(file), *known = text ? strstr(text, "oom_kill ") : NULL;
    if (known) {
        kills->file[*count] = file;
        kills->count[(*count)++] = strtoll(known + strlen("oom_kill "), NULL, 10);
    } else
        free(file);
    free(text);
}

struct kills limits_kills(void)
{
    struct kills kills = {0};
    size_t count = 0;
    for (int second = 0; second < 2 && count == 0; second++) {
        const char *root;
        char *group = own_group(second, &root);
        if (group)
            add_count(&kills, &count, formatted("%s%s/memory.%s", root, group, second ? "events" : "oom_control"));
        free(group);
    }
    add_count(&kills, &count, copy_of("/proc/vmstat"));
    return kills;
}

void limits_free(struct kills *kills)
{
    for (size_t i = 0; i < 3; i++)
        free(kills->file[i]);
    *kills = (struct kills){0};
}
