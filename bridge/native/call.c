#include "call.h"

#include <string.h>

#include "log.h"
#include "tables.h"

enum { APPLICATION_AT = WIRE_HEADER + 1, TOKEN_AT = 8, LONGEST_REASON = 256 };

void call_begin(struct call *call, struct slot *slot, const char *function) {
    memset(call, 0, sizeof *call);
    call->slot = slot;
    call->function = function;
    wire_begin(&call->request, OP_CRYPTOKI, 0, 0);
    wire_put_int(&call->request, 0);
    wire_put_text(&call->request, function);
    call->place = wire_begin_list(&call->request);
}

void call_int(struct call *call, uint64_t value) {
    wire_put_int(&call->request, value);
    call->arguments++;
}

void call_bytes(struct call *call, const void *value, size_t length) {
    wire_put_bytes(&call->request, value, length);
    call->arguments++;
}

void call_bool(struct call *call, bool value) {
    wire_put_bool(&call->request, value);
    call->arguments++;
}

void call_null(struct call *call) {
    wire_put_null(&call->request);
    call->arguments++;
}

void call_room(struct call *call, const CK_BYTE *buffer, CK_ULONG size) {
    if (buffer == NULL) {
        call_null(call);
    } else {
        call_int(call, size < WIRE_MAX_FRAME ? size : WIRE_MAX_FRAME);
    }
}

void call_raw(struct call *call, const unsigned char *value, size_t length) {
    wire_put_raw(&call->request, value, length);
    call->arguments++;
}

/* An error can have its reason as the only result, and a refused request has it, which no return code tells. */
static void log_reason(struct wire_in *in) {
    char reason[LONGEST_REASON] = "";
    size_t length;
    const unsigned char *text = wire_get_bytes(in, &length);
    for (size_t i = 0; text != NULL && i < length && i < sizeof reason - 1; i++) {
        reason[i] = text[i] < ' ' || text[i] > '~' ? '?' : (char)text[i];
    }
    if (reason[0] != 0) {
        log_error("%s", reason);
    }
}

/* Open an application where there is none. Returns false where the HSM does not answer. */
static bool open_application(struct slot *slot) {
    struct wire_out request = {0};
    struct response response;
    wire_begin(&request, OP_CRYPTOKI_OPEN, 0, 0);
    if (slot->options.length > 0) {
        wire_put_raw(&request, slot->options.data, slot->options.length);
    } else {
        const unsigned char empty[] = {WIRE_MAP, 0, 0, 0, 0};
        wire_put_raw(&request, empty, sizeof empty);
    }
    wire_end(&request);
    bool opened = client_exchange(&slot->client, &request, true, &response);
    if (opened) {
        if (response.status != STATUS_OK) {
            log_reason(&response.values);
        }
        slot->application = response.status == STATUS_OK ? wire_get_int(&response.values) : 0;
        opened = slot->application != 0;
        response_free(&response);
    }
    wire_free(&request);
    return opened;
}

static bool application_of(struct slot *slot, uint64_t *application, uint64_t *token) {
    pthread_mutex_lock(&slot->lock);
    bool open = slot->application != 0 || open_application(slot);
    *application = slot->application;
    *token = slot->token;
    pthread_mutex_unlock(&slot->lock);
    return open;
}

/* The HSM does not know the application any more, nor its sessions. */
static void lose_application(struct slot *slot, uint64_t application) {
    pthread_mutex_lock(&slot->lock);
    if (slot->application == application) {
        slot->application = slot->token = 0;
    }
    pthread_mutex_unlock(&slot->lock);
    session_remove_all(slot);
}

static bool may_repeat(const char *function) {
    for (size_t i = 0; i < sizeof REPEATABLE / sizeof *REPEATABLE; i++) {
        if (strcmp(function, REPEATABLE[i]) == 0) {
            return true;
        }
    }
    return false;
}

static CK_RV results_of(struct call *call) {
    if (call->response.status != STATUS_OK) {
        log_reason(&call->response.values);
        bool refused = call->response.status == STATUS_LIMIT || call->response.status == STATUS_NOT_CAUGHT_UP;
        return refused ? CKR_FUNCTION_FAILED : CKR_DEVICE_ERROR;
    }
    call->in = &call->response.values;
    CK_RV rv = wire_get_int(call->in);
    call->results = wire_get_list(call->in);
    if (rv != CKR_OK && call->results == 1 && wire_peek(call->in) == WIRE_TEXT) {
        log_reason(call->in);
        call->results = 0;
    }
    return call->in->failed ? CKR_DEVICE_ERROR : rv;
}

CK_RV call_send(struct call *call) {
    wire_end_list(&call->request, call->place, call->arguments);
    wire_end(&call->request);
    if (call->request.failed) {
        return CKR_DATA_LEN_RANGE;
    }
    bool again = may_repeat(call->function);
    for (int attempt = 0; attempt < 2; attempt++) {
        uint64_t application, token;
        if (!application_of(call->slot, &application, &token)) {
            return CKR_DEVICE_ERROR;
        }
        wire_set_u64(call->request.data + APPLICATION_AT, application);
        wire_set_u64(call->request.data + TOKEN_AT, token);
        if (!client_exchange(&call->slot->client, &call->request, again, &call->response)) {
            return CKR_DEVICE_ERROR;
        }
        if (call->response.status != STATUS_UNKNOWN) {
            return results_of(call);
        }
        lose_application(call->slot, application);
        response_free(&call->response);
    }
    return CKR_DEVICE_ERROR;
}

static void copy_iv(CK_BYTE *place, CK_ULONG room, const unsigned char *iv, size_t length) {
    if (place != NULL && iv != NULL && length > 0 && length <= room) {
        memcpy(place, iv, length);
    }
}

CK_RV get_result(struct call *call, CK_RV rv, CK_BYTE *result, CK_ULONG *length, CK_BYTE *iv, CK_ULONG iv_length) {
    size_t size = 0, chosen_length;
    const unsigned char *bytes = NULL;
    if (wire_peek(call->in) == WIRE_NULL) {
        wire_get_null(call->in);
    } else {
        bytes = wire_get_bytes(call->in, &size);
    }
    CK_ULONG needed = wire_get_int(call->in), room = *length;
    const unsigned char *chosen = wire_get_bytes(call->in, &chosen_length);
    if (call->in->failed) {
        return CKR_DEVICE_ERROR;
    }
    *length = bytes != NULL ? size : needed;
    if (result == NULL || rv != CKR_OK) {
        return rv;
    }
    if (bytes == NULL || size > room) {
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(result, bytes, size);
    copy_iv(iv, iv_length, chosen, chosen_length);
    return CKR_OK;
}

CK_RV call_end(struct call *call, CK_RV rv) {
    bool misread = call->in != NULL && call->in->failed;
    wire_free(&call->request);
    response_free(&call->response);
    return misread ? CKR_DEVICE_ERROR : rv;
}
