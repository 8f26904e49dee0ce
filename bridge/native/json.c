#include "json.h"

#include <ctype.h>
#include <string.h>

enum { MAX_DEPTH = 32, MAX_DIGITS = 9 };

void json_fail(struct json *json) {
    json->at = NULL;
}

static void space(struct json *json) {
    while (json->at != NULL && json->at < json->end && strchr(" \t\r\n", *json->at)) {
        json->at++;
    }
}

bool json_next_is(struct json *json, char wanted) {
    space(json);
    return json->at != NULL && json->at < json->end && *json->at == wanted;
}

static bool take(struct json *json, char wanted) {
    if (!json_next_is(json, wanted)) {
        return false;
    }
    json->at++;
    return true;
}

static void expect(struct json *json, char wanted) {
    if (!take(json, wanted)) {
        json_fail(json);
    }
}

/* A text, cut at room - 1 bytes. Returns whether it was cut. */
static bool cut_text(struct json *json, char *value, size_t room) {
    size_t length = 0;
    bool cut = false;
    expect(json, '"');
    while (json->at != NULL && json->at < json->end && *json->at != '"') {
        if ((unsigned char)*json->at < 0x20) {
            json_fail(json);
            return true;
        }
        if (*json->at == '\\') {
            json->at++;
            if (json->at >= json->end || *json->at == 'u') {
                json_fail(json);
                return true;
            }
        }
        if (length < room - 1) {
            value[length++] = *json->at;
        } else {
            cut = true;
        }
        json->at++;
    }
    value[length] = 0;
    expect(json, '"');
    return cut;
}

void json_text(struct json *json, char *value, size_t room) {
    if (!json_next_is(json, '"') || cut_text(json, value, room)) {
        json_fail(json);
    }
}

long json_number(struct json *json) {
    long value = 0;
    int digits = 0;
    space(json);
    while (json->at != NULL && json->at < json->end && isdigit((unsigned char)*json->at) && digits < MAX_DIGITS) {
        value = value * 10 + (*json->at++ - '0');
        digits++;
    }
    if (digits == 0 || json->at == json->end || isalnum((unsigned char)*json->at) || *json->at == '.') {
        json_fail(json);
        return 0;
    }
    return value;
}

static bool literal(struct json *json, const char *word) {
    size_t length = strlen(word);
    space(json);
    if (json->at == NULL || (size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0) {
        return false;
    }
    json->at += length;
    return true;
}

bool json_bool(struct json *json, bool *value) {
    if (literal(json, "true")) {
        *value = true;
        return true;
    }
    if (literal(json, "false")) {
        *value = false;
        return true;
    }
    return false;
}

void json_object(struct json *json, json_member each, void *context, int depth) {
    expect(json, '{');
    if (depth > MAX_DEPTH) {
        json_fail(json);
    }
    if (json->at == NULL || take(json, '}')) {
        return;
    }
    do {
        char name[JSON_NAME] = "";
        space(json);
        cut_text(json, name, sizeof name);
        expect(json, ':');
        if (json->at != NULL) {
            each(json, name, context, depth + 1);
        }
    } while (json->at != NULL && take(json, ','));
    expect(json, '}');
}

void json_array(struct json *json, json_element each, void *context, int depth) {
    expect(json, '[');
    if (depth > MAX_DEPTH) {
        json_fail(json);
    }
    if (json->at == NULL || take(json, ']')) {
        return;
    }
    do {
        each(json, context, depth + 1);
    } while (json->at != NULL && take(json, ','));
    expect(json, ']');
}

static void skip_member(struct json *json, const char *name, void *context, int depth) {
    (void)name;
    (void)context;
    json_skip(json, depth);
}

static void skip_element(struct json *json, void *context, int depth) {
    (void)context;
    json_skip(json, depth);
}

void json_skip(struct json *json, int depth) {
    char ignored[JSON_NAME];
    if (json_next_is(json, '{')) {
        json_object(json, skip_member, NULL, depth);
    } else if (json_next_is(json, '[')) {
        json_array(json, skip_element, NULL, depth);
    } else if (json_next_is(json, '"')) {
        cut_text(json, ignored, sizeof ignored);
    } else {
        const char *start = json->at;
        while (json->at != NULL && json->at < json->end &&
               (isalnum((unsigned char)*json->at) || strchr("+-.", *json->at))) {
            json->at++;
        }
        if (json->at == start) {
            json_fail(json);
        }
    }
}

bool json_done(struct json *json) {
    space(json);
    return json->at == json->end;
}
