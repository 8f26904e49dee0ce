#include "repeat.h"

#include <string.h>

/* The fields of the parameter that do not decide. */
static void put_varying(struct wire_out *out, const struct active *active) {
    struct wire_in in = {active->init, active->init + active->init_length, false};
    wire_get_list(&in);
    wire_get_int(&in);
    uint32_t fields = wire_get_list(&in);
    for (uint32_t i = 0; i < fields && !in.failed; i++) {
        size_t length;
        if (wire_peek(&in) != WIRE_BYTES || (i < 64 && active->ticket.deciding >> i & 1)) {
            wire_skip(&in);
            continue;
        }
        const unsigned char *value = wire_get_bytes(&in, &length);
        if (value != NULL) {
            wire_put_raw(out, value, length);
        }
    }
}

enum { FIRST_AT = WIRE_HEADER + 8 };

static void begin_repeat(struct wire_out *out, const struct active *active) {
    unsigned char number[8];
    wire_begin(out, OP_REPEAT, active->ticket.token, 0);
    wire_set_u64(number, active->ticket.number);
    wire_put_raw(out, number, sizeof number);
    wire_put_u32(out, 0);
}

static void end_first(struct wire_out *out) {
    if (!out->failed) {
        uint32_t length = (uint32_t)(out->length - FIRST_AT - 4);
        for (int i = 0; i < 4; i++) {
            out->data[FIRST_AT + i] = (unsigned char)(length >> (24 - 8 * i));
        }
    }
}

/* Send a REPEAT. Returns false where it has no answer; then the whole call is sent, which says why. */
static bool repeat(struct slot *slot, struct wire_out *request, struct response *response) {
    wire_end(request);
    bool answered = client_exchange(&slot->client, request, true, response) && response->status == STATUS_OK &&
                    response->values.at < response->values.end;
    wire_free(request);
    if (!answered) {
        response_free(response);
    }
    return answered;
}

bool can_repeat(const struct active *active) {
    return active != NULL && active->pending && active->ticket.number != 0;
}

/* The answer to a REPEAT: length of the IV that the HSM chose, the IV, the result. */
static bool split(const struct response *response, const unsigned char **iv, size_t *iv_length,
                  const unsigned char **result, size_t *length) {
    size_t size = (size_t)(response->values.end - response->values.at);
    *iv_length = response->values.at[0];
    if (*iv_length + 1 > size) {
        return false;
    }
    *iv = response->values.at + 1;
    *result = *iv + *iv_length;
    *length = size - 1 - *iv_length;
    return true;
}

static CK_RV take_repeated(struct active *active, const struct response *response, CK_BYTE *result, CK_ULONG *length) {
    const unsigned char *iv, *bytes;
    size_t iv_length, size;
    if (!split(response, &iv, &iv_length, &bytes, &size)) {
        return CKR_DEVICE_ERROR;
    }
    CK_ULONG room = *length;
    *length = size;
    if (size > room) {
        return CKR_BUFFER_TOO_SMALL;
    }
    if (size > 0) {
        memcpy(result, bytes, size);
    }
    if (active->iv != NULL && iv_length > 0 && iv_length <= active->iv_length) {
        memcpy(active->iv, iv, iv_length);
    }
    return CKR_OK;
}

bool run_repeated(struct slot *slot, struct active *active, const CK_BYTE *data, CK_ULONG data_length, CK_BYTE *result,
                  CK_ULONG *length, CK_RV *rv) {
    struct wire_out request = {0};
    struct response response;
    begin_repeat(&request, active);
    put_varying(&request, active);
    end_first(&request);
    wire_put_raw(&request, data, data_length);
    if (!repeat(slot, &request, &response)) {
        return false;
    }
    *rv = take_repeated(active, &response, result, length);
    response_free(&response);
    return true;
}

bool verify_repeated(struct slot *slot, const struct active *active, const CK_BYTE *data, CK_ULONG data_length,
                            const CK_BYTE *signature, CK_ULONG signature_length, CK_RV *rv) {
    struct wire_out request = {0};
    struct response response;
    const unsigned char *iv, *result;
    size_t iv_length, length;
    begin_repeat(&request, active);
    wire_put_raw(&request, data, data_length);
    end_first(&request);
    wire_put_raw(&request, signature, signature_length);
    if (!repeat(slot, &request, &response)) {
        return false;
    }
    bool understood = split(&response, &iv, &iv_length, &result, &length) && length == 1;
    *rv = !understood ? CKR_DEVICE_ERROR : result[0] == 1 ? CKR_OK : CKR_SIGNATURE_INVALID;
    response_free(&response);
    return true;
}
