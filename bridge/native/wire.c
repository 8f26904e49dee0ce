#include "wire.h"

#include <stdlib.h>
#include <string.h>

/* Frames hold PINs and plain texts, so memory is wiped before it is given back. */
static void release(unsigned char *data, size_t capacity) {
    if (data != NULL) {
        explicit_bzero(data, capacity);
        free(data);
    }
}

static bool reserve(struct wire_out *out, size_t more) {
    if (out->failed || more > WIRE_MAX_FRAME - out->length) {
        out->failed = true;
        return false;
    }
    if (out->capacity - out->length >= more) {
        return true;
    }
    size_t capacity = out->capacity ? out->capacity : 512;
    while (capacity - out->length < more) {
        capacity *= 2;
    }
    unsigned char *data = malloc(capacity);
    if (data == NULL) {
        out->failed = true;
        return false;
    }
    if (out->length > 0) {
        memcpy(data, out->data, out->length);
    }
    release(out->data, out->capacity);
    out->data = data;
    out->capacity = capacity;
    return true;
}

void wire_put_raw(struct wire_out *out, const void *value, size_t length) {
    if (length > 0 && reserve(out, length)) {
        memcpy(out->data + out->length, value, length);
        out->length += length;
    }
}

static void put_u8(struct wire_out *out, unsigned value) {
    unsigned char byte = (unsigned char)value;
    wire_put_raw(out, &byte, 1);
}

static void set_u32(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> (24 - 8 * i));
    }
}

void wire_set_u64(unsigned char *at, uint64_t value) {
    set_u32(at, (uint32_t)(value >> 32));
    set_u32(at + 4, (uint32_t)value);
}

void wire_put_u32(struct wire_out *out, uint32_t value) {
    unsigned char bytes[4];
    set_u32(bytes, value);
    wire_put_raw(out, bytes, sizeof bytes);
}

static void put_u64(struct wire_out *out, uint64_t value) {
    unsigned char bytes[8];
    wire_set_u64(bytes, value);
    wire_put_raw(out, bytes, sizeof bytes);
}

uint32_t wire_u32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint64_t wire_u64(const unsigned char *at) {
    return (uint64_t)wire_u32(at) << 32 | wire_u32(at + 4);
}

void wire_begin(struct wire_out *out, unsigned operation, uint64_t token, uint64_t request) {
    out->length = 0;
    out->failed = false;
    wire_put_u32(out, 0);
    put_u8(out, WIRE_VERSION);
    put_u8(out, 0);
    put_u8(out, operation >> 8);
    put_u8(out, operation & 0xff);
    put_u64(out, token);
    put_u64(out, request);
}

void wire_end(struct wire_out *out) {
    if (!out->failed) {
        set_u32(out->data, (uint32_t)(out->length - 4));
    }
}

void wire_free(struct wire_out *out) {
    release(out->data, out->capacity);
    memset(out, 0, sizeof *out);
}

void wire_put_null(struct wire_out *out) {
    put_u8(out, WIRE_NULL);
}

void wire_put_bool(struct wire_out *out, bool value) {
    put_u8(out, value ? WIRE_TRUE : WIRE_FALSE);
}

void wire_put_int(struct wire_out *out, uint64_t value) {
    put_u8(out, WIRE_INT);
    put_u64(out, value);
}

static void put_run(struct wire_out *out, enum wire_tag tag, const void *value, size_t length) {
    if (length > WIRE_MAX_FRAME) {
        out->failed = true;
        return;
    }
    put_u8(out, tag);
    wire_put_u32(out, (uint32_t)length);
    wire_put_raw(out, value, length);
}

void wire_put_bytes(struct wire_out *out, const void *value, size_t length) {
    put_run(out, WIRE_BYTES, value, length);
}

void wire_put_text(struct wire_out *out, const char *value) {
    put_run(out, WIRE_TEXT, value, strlen(value));
}

size_t wire_begin_list(struct wire_out *out) {
    put_u8(out, WIRE_LIST);
    size_t place = out->length;
    wire_put_u32(out, 0);
    return place;
}

void wire_end_list(struct wire_out *out, size_t place, uint32_t count) {
    if (!out->failed) {
        set_u32(out->data + place, count);
    }
}

static bool has(struct wire_in *in, size_t length) {
    if (in->failed || (size_t)(in->end - in->at) < length) {
        in->failed = true;
        return false;
    }
    return true;
}

enum wire_tag wire_peek(struct wire_in *in) {
    return has(in, 1) ? (enum wire_tag)*in->at : WIRE_NULL;
}

static bool take_tag(struct wire_in *in, enum wire_tag tag, size_t length) {
    if (!has(in, 1 + length) || *in->at != tag) {
        in->failed = true;
        return false;
    }
    in->at++;
    return true;
}

bool wire_get_null(struct wire_in *in) {
    return take_tag(in, WIRE_NULL, 0);
}

bool wire_get_bool(struct wire_in *in) {
    enum wire_tag tag = wire_peek(in);
    if (tag != WIRE_FALSE && tag != WIRE_TRUE) {
        in->failed = true;
        return false;
    }
    in->at++;
    return tag == WIRE_TRUE;
}

uint64_t wire_get_int(struct wire_in *in) {
    if (!take_tag(in, WIRE_INT, 8)) {
        return 0;
    }
    uint64_t value = wire_u64(in->at);
    in->at += 8;
    return value;
}

const unsigned char *wire_get_bytes(struct wire_in *in, size_t *length) {
    enum wire_tag tag = wire_peek(in);
    *length = 0;
    if ((tag != WIRE_BYTES && tag != WIRE_TEXT) || !has(in, 5)) {
        in->failed = true;
        return NULL;
    }
    in->at++;
    return wire_get_name(in, length);
}

const unsigned char *wire_get_name(struct wire_in *in, size_t *length) {
    *length = 0;
    if (!has(in, 4)) {
        return NULL;
    }
    size_t size = wire_u32(in->at);
    if (!has(in, 4 + size)) {
        return NULL;
    }
    const unsigned char *value = in->at + 4;
    in->at += 4 + size;
    *length = size;
    return value;
}

static uint32_t get_count(struct wire_in *in, enum wire_tag tag) {
    if (!take_tag(in, tag, 4)) {
        return 0;
    }
    uint32_t count = wire_u32(in->at);
    in->at += 4;
    return has(in, count) ? count : 0;
}

uint32_t wire_get_list(struct wire_in *in) {
    return get_count(in, WIRE_LIST);
}

uint32_t wire_get_map(struct wire_in *in) {
    return get_count(in, WIRE_MAP);
}

static void skip(struct wire_in *in, int depth) {
    enum wire_tag tag = wire_peek(in);
    size_t length;
    uint32_t count;
    switch (tag) {
    case WIRE_NULL:
    case WIRE_FALSE:
    case WIRE_TRUE:
        in->at += in->failed ? 0 : 1;
        return;
    case WIRE_INT:
        wire_get_int(in);
        return;
    case WIRE_BYTES:
    case WIRE_TEXT:
        wire_get_bytes(in, &length);
        return;
    case WIRE_LIST:
    case WIRE_MAP:
        count = depth > WIRE_MAX_DEPTH ? 0 : get_count(in, tag);
        for (uint32_t i = 0; i < count && !in->failed; i++) {
            if (tag == WIRE_MAP) {
                wire_get_name(in, &length);
            }
            skip(in, depth + 1);
        }
        in->failed |= depth > WIRE_MAX_DEPTH;
        return;
    default:
        in->failed = true;
    }
}

void wire_skip(struct wire_in *in) {
    skip(in, 1);
}
