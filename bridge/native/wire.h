/* Frames and values of bridge/PROTOCOL.md: written into a growing buffer, read from a response within its bounds. */

#ifndef HSMBRIDGE_WIRE_H
#define HSMBRIDGE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_HEADER = 24,
    WIRE_VERSION = 1,
    WIRE_MAX_FRAME = 64 * 1024 * 1024,
    WIRE_MAX_DEPTH = 8,
};

enum wire_tag { WIRE_NULL, WIRE_FALSE, WIRE_TRUE, WIRE_INT, WIRE_BYTES, WIRE_TEXT, WIRE_LIST, WIRE_MAP };

/* A frame that is written. `failed` is set where memory ran out or the frame became too long. */
struct wire_out {
    unsigned char *data;
    size_t length, capacity;
    bool failed;
};

/* Values that are read, up to `end`. `failed` is set by the first value that is not there or of another kind. */
struct wire_in {
    const unsigned char *at, *end;
    bool failed;
};

void wire_begin(struct wire_out *out, unsigned operation, uint64_t token, uint64_t request);
void wire_end(struct wire_out *out);
void wire_free(struct wire_out *out);

void wire_put_null(struct wire_out *out);
void wire_put_bool(struct wire_out *out, bool value);
void wire_put_int(struct wire_out *out, uint64_t value);
void wire_put_bytes(struct wire_out *out, const void *value, size_t length);
void wire_put_text(struct wire_out *out, const char *value);
void wire_put_raw(struct wire_out *out, const void *value, size_t length);
void wire_put_u32(struct wire_out *out, uint32_t value);
/* Begin a list, whose count is written by wire_end_list at the returned place. */
size_t wire_begin_list(struct wire_out *out);
void wire_end_list(struct wire_out *out, size_t place, uint32_t count);

uint32_t wire_u32(const unsigned char *at);
uint64_t wire_u64(const unsigned char *at);
void wire_set_u64(unsigned char *at, uint64_t value);

/* The tag of the next value; WIRE_NULL with `failed` at the end. */
enum wire_tag wire_peek(struct wire_in *in);
bool wire_get_null(struct wire_in *in);
bool wire_get_bool(struct wire_in *in);
uint64_t wire_get_int(struct wire_in *in);
/* Bytes or text. The result points into the response. */
const unsigned char *wire_get_bytes(struct wire_in *in, size_t *length);
/* The count of a list, whose values follow; no larger than the bytes that are left. */
uint32_t wire_get_list(struct wire_in *in);
/* The count of a map, whose pairs of a name and a value follow. */
uint32_t wire_get_map(struct wire_in *in);
/* The name of a pair, as wire_get_bytes. */
const unsigned char *wire_get_name(struct wire_in *in, size_t *length);
void wire_skip(struct wire_in *in);

#endif
