#include "system.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

char *system_labelled(const char *path, const char *label, char between)
{
    char *whole = file_text(path), *found = NULL;
    for (char *line = whole ? strtok(whole, "\n") : NULL; line && !found; line = strtok(NULL, "\n")) {
        size_t length = strlen(label);
        const char *behind = line + length;
        if (strncmp(line, label, length) != 0)
            continue;
        behind += strspn(behind, " \t");
        if (*behind == between)
            found = copy_of(behind + 1 + strspn(behind + 1, " \t\""));
    }
    free(whole);
    if (found)
        found[strcspn(found, "\"\r")] = 0;
    return found ? found : copy_of("");
}

int64_t system_meminfo(const char *field)
{
    char *value = system_labelled("/proc/meminfo", field, ':');
    int64_t bytes = *value ? strtoll(value, NULL, 10) * 1024 : -1;
    free(value);
    return bytes;
}

int system_extreme(const char *pattern, double low, double high, int highest, double *found)
{
    glob_t files;
    int any = 0;
    if (glob(pattern, 0, NULL, &files) != 0)
        return 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *word = file_word(files.gl_pathv[i]), *behind;
        double value = strtod(word, &behind);
        if (behind != word && value > low && value < high && (!any || (highest ? value > *found : value < *found))) {
            *found = value;
            any = 1;
        }
        free(word);
    }
    globfree(&files);
    return any;
}

int system_temperature(double *celsius)
{
    int known = system_extreme("/sys/class/thermal/thermal_zone*/temp", -40000, 150000, 1, celsius);
    if (known)
        *celsius /= 1000;
    return known;
}
