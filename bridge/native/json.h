/* A reader of JSON (RFC 8259) for configuration files. It keeps nothing; the caller takes values as they are read. */

#ifndef HSMBRIDGE_JSON_H
#define HSMBRIDGE_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* `at` is NULL after bytes that are not JSON, or a value that a caller refused with json_fail. */
struct json {
    const char *at, *end;
};

typedef void (*json_member)(struct json *json, const char *name, void *context, int depth);
typedef void (*json_element)(struct json *json, void *context, int depth);

enum { JSON_NAME = 256 }; /* bytes of a member's name; longer ones are cut */

void json_fail(struct json *json);
/* Read an object or array. `each` reads, or skips, every value. */
void json_object(struct json *json, json_member each, void *context, int depth);
void json_array(struct json *json, json_element each, void *context, int depth);
/* Read a text of fewer than `room` bytes; a longer one fails. Of escapes only those of one character are understood. */
void json_text(struct json *json, char *value, size_t room);
/* Read a whole number; anything else fails. */
long json_number(struct json *json);
/* Read `true` or `false` into `value`. Returns false, and reads nothing, where neither is there. */
bool json_bool(struct json *json, bool *value);
bool json_next_is(struct json *json, char wanted);
void json_skip(struct json *json, int depth);
/* Tell whether everything was read, without failure. */
bool json_done(struct json *json);

#endif
