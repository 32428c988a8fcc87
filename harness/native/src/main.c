/* edgeward-native: measures on devices without Python, with the command line and the files of the Python agent. */
#include <stdio.h>
#include <string.h>

#include "calibrate.h"
#include "clock.h"
#include "contract.h"
#include "follow.h"
#include "inventory.h"
#include "run.h"
#include "say.h"
#include "survey.h"
#include "trial.h"
#include "worker.h"

int main(int count, char **words)
{
    const char *verb = count > 1 ? words[1] : "";
    if (strcmp(verb, "run") == 0 && count > 2)
        return run_main(words[0], words[2], count > 3 && strcmp(words[3], "--detach") == 0);
    if (strcmp(verb, "work") == 0 && count > 3)
        return worker_main(words[2], words[3]);
    if (strcmp(verb, "follow") == 0 && count > 3)
        return follow_main(words[2], words[3]);
    if (strcmp(verb, "say") == 0 && count > 4)
        return say_main(words[2], words[3], words[4], count > 5 ? words[5] : "", count > 6 ? words[6] : "");
    if (strcmp(verb, "survey") == 0)
        return survey_main(count > 2 ? words[2] : "/", count > 3 ? words[3] : "");
    if (strcmp(verb, "clock") == 0 && count > 2)
        return clock_main(words[2]);
    if (strcmp(verb, "meter") == 0)
        return trial_meter();
    if (strcmp(verb, "calibrate") == 0)
        return calibrate_main();
    if (strcmp(verb, "runtime") == 0 && count > 3)
        return trial_runtime(words[2], words[3]);
    if (strcmp(verb, "inventory") == 0)
        return inventory_main();
    fprintf(stderr, "edgeward-native run JOB [--detach] | follow JOB OFFSET | survey FOLDER [ZONE] | inventory | "
                    "meter | calibrate | runtime NAME FOLDER | clock TIMES\n");
    return NO_SUCH_COMMAND;
}
