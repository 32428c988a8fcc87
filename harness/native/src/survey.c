#include "survey.h"

#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"
#include "supplies.h"
#include "system.h"

/* Adds the comma that stands between two fields, and the name of the next. */
static void name_field(struct text *target, const char *name)
{
    int first = target->size == 0 || target->data[target->size - 1] == '{';
    text_add(target, "%s\"%s\": ", first ? "" : ", ", name);
}

static void add_word(struct text *target, const char *name, char *value)
{
    if (*value) {
        name_field(target, name);
        text_string(target, value);
    }
    free(value);
}

static char *soc(void)
{
    static const char *const labels[] = {"model name", "Hardware", "CPU part"};
    char *name = file_word("/proc/device-tree/model");
    for (size_t i = 0; *name == 0 && i < sizeof labels / sizeof *labels; i++) {
        free(name);
        name = system_labelled("/proc/cpuinfo", labels[i], ':');
    }
    return name;
}

static char *os_name(void)
{
    struct utsname system;
    char *name = system_labelled("/etc/os-release", "PRETTY_NAME", '=');
    if (*name)
        return name;
    free(name);
    char *android = system_labelled("/system/build.prop", "ro.build.version.release", '=');
    if (*android)
        name = formatted("Android %s", android);
    else
        name = copy_of(uname(&system) == 0 ? system.sysname : "");
    free(android);
    return name;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The frequency governor; several, joined, if the cores differ. */
static char *governor(void)
{
    glob_t files;
    struct text joined = {0};
    text_bytes(&joined, "", 0);
    if (glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor", 0, NULL, &files) != 0)
        return joined.data;
    char **words = need(files.gl_pathc * sizeof *words);
    for (size_t i = 0; i < files.gl_pathc; i++)
        words[i] = file_word(files.gl_pathv[i]);
    qsort(words, files.gl_pathc, sizeof *words, by_name);
    for (size_t i = 0; i < files.gl_pathc; i++)
        if (*words[i] && (i == 0 || strcmp(words[i], words[i - 1]) != 0))
            text_add(&joined, "%s%s", joined.size ? "+" : "", words[i]);
    for (size_t i = 0; i < files.gl_pathc; i++)
        free(words[i]);
    free(words);
    globfree(&files);
    return joined.data;
}

/* "on" or "off" where the kernel says whether cores may go beyond their base frequency, "" elsewhere. */
static char *boost(void)
{
    char *allowed = file_word("/sys/devices/system/cpu/cpufreq/boost");
    char *forbidden = file_word("/sys/devices/system/cpu/intel_pstate/no_turbo");
    int on = strcmp(allowed, "1") == 0 || strcmp(forbidden, "0") == 0;
    char *said = copy_of(*allowed || *forbidden ? (on ? "on" : "off") : "");
    free(allowed), free(forbidden);
    return said;
}

/* How much of the processor the control group allows, as the kernel writes it; "" where it sets no limit. */
static char *quota(void)
{
    char *found = file_word("/sys/fs/cgroup/cpu.max");
    if (strncmp(found, "max", 3) == 0)
        *found = 0;
    return found;
}

/* Adds what makes one processor of the same name faster than another. */
static void add_processor(struct text *target)
{
    double hertz;
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof usable, &usable) == 0) {
        name_field(target, "usable_cores");
        text_add(target, "%d", CPU_COUNT(&usable));
    }
    add_word(target, "cpu_quota", quota());
    add_word(target, "microcode", system_labelled("/proc/cpuinfo", "microcode", ':'));
    if (system_extreme("/sys/devices/system/cpu/cpu*/cpufreq/scaling_max_freq", 1, 1e9, 1, &hertz)) {
        name_field(target, "frequency_limit_hz");
        text_add(target, "%.17g", hertz * 1000);
    }
    add_word(target, "boost", boost());
}

void survey_fingerprint(struct text *target)
{
    struct utsname system = {0};
    int64_t memory = limits_total();
    uname(&system);
    struct text own = {0};
    text_add(&own, "{");
    add_word(&own, "soc", soc());
    add_word(&own, "architecture", copy_of(system.machine));
    name_field(&own, "cores");
    text_add(&own, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    add_processor(&own);
    if (memory >= 0) {
        name_field(&own, "memory_bytes");
        text_add(&own, "%lld", (long long)memory);
    }
    add_word(&own, "os", os_name());
    add_word(&own, "kernel", copy_of(system.release));
    add_word(&own, "kernel_build", copy_of(system.version));
    add_word(&own, "governor", governor());
    text_add(target, "%s}", own.data);
    text_free(&own);
}

static void add_number(struct text *target, const char *name, double value)
{
    name_field(target, name);
    text_add(target, "%.17g", value);
}

void survey_conditions(struct text *target, const char *folder, const char *zone)
{
    struct text own = {0};
    struct statvfs disk;
    struct timespec wall;
    double value = 0;
    int64_t available = limits_available();
    if (system_temperature(zone, &value))
        add_number(&own, "temperature_c", value);
    if (system_extreme("/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq", 1, 1e9, 0, &value))
        add_number(&own, "frequency_hz", value * 1000);
    add_word(&own, "governor", governor());
    char *load = file_word("/proc/loadavg");
    load[strcspn(load, " ")] = 0;
    if (system_number_of(load, 0, 1e6, &value))
        add_number(&own, "load_average", value);
    free(load);
    if (available >= 0)
        add_number(&own, "available_bytes", (double)available);
    if (statvfs(folder, &disk) == 0)
        add_number(&own, "free_bytes", (double)disk.f_bavail * (double)disk.f_frsize);
    clock_gettime(CLOCK_REALTIME, &wall);
    add_number(&own, "wall_s", (double)wall.tv_sec + (double)wall.tv_nsec * 1e-9);
    supplies_charge(&own);
    text_add(target, "%s", own.data);
    text_free(&own);
}

static const char *truth(int value)
{
    return value ? "true" : "false";
}

/* Adds the types of the thermal zones, each once, in order. */
static void add_zones(struct text *target)
{
    glob_t files;
    text_add(target, "[");
    if (glob("/sys/class/thermal/thermal_zone*/type", 0, NULL, &files) == 0) {
        char **words = need(files.gl_pathc * sizeof *words);
        for (size_t i = 0; i < files.gl_pathc; i++)
            words[i] = file_word(files.gl_pathv[i]);
        qsort(words, files.gl_pathc, sizeof *words, by_name);
        int said = 0;
        for (size_t i = 0; i < files.gl_pathc; i++)
            if (*words[i] && (i == 0 || strcmp(words[i], words[i - 1]) != 0)) {
                text_add(target, said++ ? ", " : "");
                text_string(target, words[i]);
            }
        for (size_t i = 0; i < files.gl_pathc; i++)
            free(words[i]);
        free(words);
        globfree(&files);
    }
    text_add(target, "]");
}

int survey_main(const char *folder, const char *zone)
{
    struct text report = {0}, battery = {0};
    struct timespec step;
    double celsius;
    clock_getres(CLOCK_MONOTONIC, &step);
    char *rollup = file_word("/proc/self/smaps_rollup"), *peak = system_labelled("/proc/self/status", "VmHWM", ':');
    char *policy = governor();
    text_add(&report, "{\"fingerprint\": ");
    survey_fingerprint(&report);
    text_add(&report, ", \"conditions\": {");
    survey_conditions(&report, folder, zone);
    text_add(&report, "}, \"thermal_zones\": ");
    add_zones(&report);
    text_add(&report, ", \"clock\": {\"implementation\": \"clock_gettime(CLOCK_MONOTONIC)\", \"resolution_s\": %.17g}",
             (double)step.tv_sec + (double)step.tv_nsec * 1e-9);
    text_add(&report, ", \"can\": {\"smaps_rollup\": %s, \"vm_hwm\": %s, \"temperature\": %s, \"governor\": %s",
             truth(*rollup), truth(*peak), truth(system_temperature(zone, &celsius)), truth(*policy));
    text_add(&report, ", \"battery\": %s}}", truth(supplies_charge(&battery)));
    printf("%s", report.data);
    free(rollup), free(peak), free(policy);
    text_free(&report);
    text_free(&battery);
    return fflush(stdout) == 0 ? 0 : 74;
}
