/* The channels of a power sensor, by the names of their files or by their labels. */
#include "hwmon_terms.h"

#include <glob.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "meter_kind.h"

static int matches(const char *text, const char *pattern)
{
    regex_t made;
    if (regcomp(&made, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return 0;
    int found = regexec(&made, text, 0, NULL, 0) == 0;
    regfree(&made);
    return found;
}

int hwmon_is_file(const char *folder, const char *name)
{
    struct stat facts;
    char *path = formatted("%s/%s", folder, name);
    int found = stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
    free(path);
    return found;
}

/* The one or two files that a channel names; returns how many, 0 for what is no channel of power. */
static size_t channels_of(const char *channel, char names[2][32])
{
    static const char volts[] = "^in[0-9]+_input *\\* *curr[0-9]+_input$",
                      amperes[] = "^curr[0-9]+_input *\\* *in[0-9]+_input$";
    if (strlen(channel) < 32 && matches(channel, "^power[0-9]+_(input|average)$"))
        return snprintf(names[0], 32, "%s", channel) > 0;
    if (!matches(channel, volts) && !matches(channel, amperes))
        return 0;
    return sscanf(channel, "%31[a-z0-9_] * %31[a-z0-9_]", names[0], names[1]) == 2 ? 2 : 0;
}

static struct term whole(const char *folder, struct term term, int found)
{
    for (size_t i = 0; i < term.files; i++)
        found = found == 1 && hwmon_is_file(folder, term.name[i]);
    term.files = found == 1 ? term.files : 0;
    return term;
}

/* The one channel of a folder with a label; its `files` are 0 where none or several have it. */
struct term hwmon_labelled(const char *folder, const char *label)
{
    struct term power = {.files = 0}, product = {.files = 0};
    int powers = 0, products = 0;
    glob_t files;
    char *pattern = formatted("%s/*_label", folder);
    int any = glob(pattern, 0, NULL, &files) == 0;
    free(pattern);
    for (size_t i = 0; any && i < files.gl_pathc; i++) {
        unsigned number;
        const char *name = strrchr(files.gl_pathv[i], '/') + 1;
        char *said = file_word(files.gl_pathv[i]);
        int same = strcmp(said, label) == 0;
        free(said);
        if (same && matches(name, "^power[0-9]+_label$") && sscanf(name, "power%u", &number) == 1) {
            powers++;
            power.files = snprintf(power.name[0], 32, "power%u_input", number) > 0;
        } else if (same && matches(name, "^in[0-9]+_label$") && sscanf(name, "in%u", &number) == 1) {
            products++;
            snprintf(product.name[0], 32, "in%u_input", number);
            snprintf(product.name[1], 32, "curr%u_input", number);
            product.files = 2;
        }
    }
    if (any)
        globfree(&files);
    return powers ? whole(folder, power, powers) : whole(folder, product, products);
}

void hwmon_add_term(struct sensor *sensor, struct term term)
{
    sensor->term = need_again(sensor->term, (sensor->terms + 1) * sizeof *sensor->term);
    sensor->term[sensor->terms++] = term;
}

/* The channels that a text such as "power1_input + power2_input" adds up; 0 with `fault` for what is none. */
int hwmon_terms_of(const char *channels, struct sensor *sensor, struct fault *fault)
{
    char *whole = copy_of(*channels ? channels : "power1_input"), *next = whole;
    int good = 1;
    while (good && next) {
        char *part = next + strspn(next, " ");
        next = strchr(part, '+');
        if (next)
            *next++ = 0;
        for (size_t end = strlen(part); end && part[end - 1] == ' '; end--)
            part[end - 1] = 0;
        struct term term;
        term.folder = NULL;
        term.files = channels_of(part, term.name);
        hwmon_add_term(sensor, term);
        if (term.files == 0)
            good = fail(fault, FAULT_METER,
                        "\"%s\" is no channel of power; write \"power1_input\", or volts times amperes: "
                        "\"in1_input * curr1_input\"",
                        part);
    }
    free(whole);
    return good;
}
