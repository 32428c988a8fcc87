#include "inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "json.h"
#include "text.h"

static void list_absent(const struct json *wanted, const struct digest *digests, struct text *absent)
{
    text_add(absent, "[");
    for (size_t i = 0; i < wanted->count; i++) {
        const char *digest = wanted->items[i].string;
        if (digest && *digest && strcmp(digests[i].hex, digest) == 0)
            continue;
        text_add(absent, absent->size > 1 ? ", " : "");
        text_string(absent, wanted->keys[i]);
    }
    text_add(absent, "]");
}

int inventory_main(void)
{
    const char *wrong = "";
    char *asked = stdin_text();
    struct json *wanted = json_parse(asked, &wrong);
    free(asked);
    if (wanted == NULL || wanted->kind != JSON_OBJECT) {
        json_free(wanted);
        fprintf(stderr, "inventory takes {\"PATH\": \"SHA256\"} as JSON on standard input\n");
        return 65;
    }
    struct text absent = {0};
    struct digest *digests = need(wanted->count * sizeof *digests);
    int known = digest_files(wanted->keys, wanted->count, digests);
    if (known)
        list_absent(wanted, digests, &absent);
    else
        fprintf(stderr, "no program on the device computes SHA-256; install sha256sum, busybox, toybox or openssl\n");
    printf("%s", known ? absent.data : "");
    free(digests);
    json_free(wanted);
    text_free(&absent);
    return known ? (fflush(stdout) == 0 ? 0 : 74) : 69;
}
