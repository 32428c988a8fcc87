#include "system.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define DIGITS "0123456789"
#define BLANKS " \t\r\n"
#define ZONES "/sys/class/thermal/thermal_zone*"

/* A thermal zone that says less, either way, does not count in thousandths of a degree. */
static const double LEAST_HEAT = 200;
/* How the largest integers of C look where a driver has nothing to say. */
static const double NOTHING[] = {0x1p31 - 1, -0x1p31, 0x1p32 - 1, 0x1p63, -0x1p63, 0x1p64};

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
    double kilobytes;
    char *unit = strstr(value, " kB");
    if (unit)
        *unit = 0;
    int known = system_number_of(value, 0, 9e15, &kilobytes);
    free(value);
    return known ? (int64_t)kilobytes * 1024 : -1;
}

/* Whether a text is digits, with a sign before and a fraction behind where there are any, and nothing else. */
static int is_decimal(const char *text)
{
    const char *at = text + (*text == '+' || *text == '-');
    size_t whole = strspn(at, DIGITS);
    at += whole;
    if (whole && *at == '.') {
        size_t fraction = strspn(at + 1, DIGITS);
        at += fraction ? fraction + 1 : 0;
    }
    return whole && *at == 0;
}

int system_number_of(const char *text, double low, double high, double *value)
{
    char *word = copy_of(text + strspn(text, BLANKS));
    for (size_t end = strlen(word); end && strchr(BLANKS, word[end - 1]); end--)
        word[end - 1] = 0;
    double found = strtod(word, NULL);
    int known = is_decimal(word) && found >= low && found <= high;
    free(word);
    for (size_t i = 0; i < sizeof NOTHING / sizeof *NOTHING; i++)
        known = known && found != NOTHING[i];
    if (known)
        *value = found;
    return known;
}

int system_number(const char *path, double low, double high, double *value)
{
    char *word = file_word(path);
    int known = system_number_of(word, low, high, value);
    free(word);
    return known;
}

int system_extreme(const char *pattern, double low, double high, int highest, double *found)
{
    glob_t files;
    int any = 0;
    if (glob(pattern, 0, NULL, &files) != 0)
        return 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        double value;
        int known = system_number(files.gl_pathv[i], low, high, &value);
        if (known && (!any || (highest ? value > *found : value < *found)))
            *found = value;
        any = any || known;
    }
    globfree(&files);
    return any;
}

/* Whether a zone counts: where one type is meant, it must be of that type. */
static int is_meant(const char *folder, const char *zone)
{
    char *path = formatted("%s/type", folder), *kind = file_word(path);
    int meant = *zone == 0 || strcmp(kind, zone) == 0;
    free(path), free(kind);
    return meant;
}

int system_temperature(const char *zone, double *celsius)
{
    glob_t zones;
    int any = 0;
    if (glob(ZONES, 0, NULL, &zones) != 0)
        return 0;
    for (size_t i = 0; i < zones.gl_pathc; i++) {
        double value;
        char *path = formatted("%s/temp", zones.gl_pathv[i]);
        int known = is_meant(zones.gl_pathv[i], zone) && system_number(path, -40000, 150000, &value);
        free(path);
        if (!known || (value < LEAST_HEAT && value > -LEAST_HEAT) || (any && value / 1000 <= *celsius))
            continue;
        *celsius = value / 1000;
        any = 1;
    }
    globfree(&zones);
    return any;
}
