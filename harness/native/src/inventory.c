#include "inventory.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "sha256.h"
#include "text.h"

int inventory_main(void)
{
    struct text asked = {0}, absent = {0};
    char chunk[4096], hex[65];
    const char *wrong = "";
    text_bytes(&asked, "", 0);
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, stdin)) > 0;)
        text_bytes(&asked, chunk, size);
    struct json *wanted = json_parse(asked.data, &wrong);
    text_free(&asked);
    if (wanted == NULL || wanted->kind != JSON_OBJECT) {
        json_free(wanted);
        fprintf(stderr, "inventory takes {\"PATH\": \"SHA256\"} as JSON on standard input\n");
        return 65;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        const char *digest = wanted->items[i].string;
        if (digest && sha256_file(wanted->keys[i], hex) && strcmp(hex, digest) == 0)
            continue;
        text_add(&absent, absent.size ? ", " : "");
        text_string(&absent, wanted->keys[i]);
    }
    printf("[%s]", absent.size ? absent.data : "");
    json_free(wanted);
    text_free(&absent);
    return fflush(stdout) == 0 ? 0 : 74;
}
