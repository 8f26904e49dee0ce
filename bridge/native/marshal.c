/* Attributes and mechanism parameters: structures of the caller into values, and values into attributes. */

#include <string.h>

#include "call.h"
#include "tables.h"

enum { MAX_ATTRIBUTES = 256, MAX_PARTS = 32 };

static char kind_of(CK_ATTRIBUTE_TYPE type) {
    for (size_t i = 0; i < sizeof ATTRIBUTES / sizeof *ATTRIBUTES; i++) {
        if (ATTRIBUTES[i].number == type) {
            return ATTRIBUTES[i].letter;
        }
    }
    return 'y';
}

static char form_of(CK_MECHANISM_TYPE type) {
    for (size_t i = 0; i < sizeof MECHANISMS / sizeof *MECHANISMS; i++) {
        if (MECHANISMS[i].number == type) {
            return MECHANISMS[i].letter;
        }
    }
    return 'n';
}

/* Bytes that the caller points to; null where the pointer is null and the length is not 0. */
static void put_pointed(struct wire_out *out, const void *value, CK_ULONG length) {
    if (value == NULL && length > 0) {
        wire_put_null(out);
    } else {
        wire_put_bytes(out, value, length);
    }
}

static void put_template(struct wire_out *out, const CK_ATTRIBUTE *attributes, CK_ULONG count, int depth);

static void put_value(struct wire_out *out, const CK_ATTRIBUTE *attribute, int depth) {
    char kind = kind_of(attribute->type);
    CK_ULONG number;
    if (attribute->pValue != NULL && kind == 'u' && attribute->ulValueLen == sizeof number) {
        memcpy(&number, attribute->pValue, sizeof number);
        wire_put_int(out, number);
    } else if (attribute->pValue != NULL && kind == 'b' && attribute->ulValueLen == sizeof(CK_BBOOL)) {
        wire_put_bool(out, *(const CK_BBOOL *)attribute->pValue != 0);
    } else if (kind == 't' && depth == 0 && attribute->ulValueLen % sizeof(CK_ATTRIBUTE) == 0 &&
               (attribute->pValue != NULL || attribute->ulValueLen == 0)) {
        put_template(out, attribute->pValue, attribute->ulValueLen / sizeof(CK_ATTRIBUTE), depth + 1);
    } else {
        put_pointed(out, attribute->pValue, attribute->ulValueLen);
    }
}

static void put_template(struct wire_out *out, const CK_ATTRIBUTE *attributes, CK_ULONG count, int depth) {
    if (count > MAX_ATTRIBUTES || (attributes == NULL && count > 0)) {
        wire_put_null(out);
        return;
    }
    size_t place = wire_begin_list(out);
    for (CK_ULONG i = 0; i < count; i++) {
        size_t pair = wire_begin_list(out);
        wire_put_int(out, attributes[i].type);
        put_value(out, &attributes[i], depth);
        wire_end_list(out, pair, 2);
    }
    wire_end_list(out, place, (uint32_t)count);
}

void call_template(struct call *call, const CK_ATTRIBUTE *attributes, CK_ULONG count) {
    put_template(&call->request, attributes, count, 0);
    call->arguments++;
}

void call_mechanism(struct call *call, const CK_MECHANISM *mechanism) {
    call_int(call, mechanism->mechanism);
    put_parameter(&call->request, mechanism);
    call->arguments++;
}

/* Each of these writes the fields of one structure and returns how many there are. */

static uint32_t put_oaep(struct wire_out *out, const CK_RSA_PKCS_OAEP_PARAMS *oaep) {
    wire_put_int(out, oaep->hashAlg);
    wire_put_int(out, oaep->mgf);
    wire_put_int(out, oaep->source);
    put_pointed(out, oaep->pSourceData, oaep->ulSourceDataLen);
    return 4;
}

static uint32_t put_gcm(struct wire_out *out, const void *parameter, CK_ULONG length) {
    CK_GCM_PARAMS gcm;
    if (length == sizeof(CK_GCM_PARAMS_SHORT)) {
        const CK_GCM_PARAMS_SHORT *shorter = parameter;
        gcm = (CK_GCM_PARAMS){shorter->pIv, shorter->ulIvLen, 0, shorter->pAAD, shorter->ulAADLen, shorter->ulTagBits};
    } else {
        memcpy(&gcm, parameter, sizeof gcm);
    }
    /* A null pointer stands for an IV that the vendor's mechanism puts elsewhere, whatever length is beside it. */
    wire_put_bytes(out, gcm.pIv, gcm.pIv == NULL ? 0 : gcm.ulIvLen);
    put_pointed(out, gcm.pAAD, gcm.ulAADLen);
    wire_put_int(out, gcm.ulTagBits);
    return 3;
}

static uint32_t put_ecdh(struct wire_out *out, const CK_ECDH1_DERIVE_PARAMS *ecdh) {
    wire_put_int(out, ecdh->kdf);
    put_pointed(out, ecdh->pSharedData, ecdh->ulSharedDataLen);
    put_pointed(out, ecdh->pPublicData, ecdh->ulPublicDataLen);
    return 3;
}

/* A part of a derivation's input: a structure of numbers, or bytes. */
static void put_part(struct wire_out *out, const CK_PRF_DATA_PARAM *part) {
    size_t place = wire_begin_list(out);
    uint32_t count = 1;
    wire_put_int(out, part->type);
    if ((part->type == PART_COUNTER || part->type == PART_LENGTH) && part->pValue != NULL &&
        part->ulValueLen % sizeof(CK_ULONG) == 0 && part->ulValueLen <= 2 * sizeof(CK_ULONG)) {
        for (CK_ULONG i = 0; i < part->ulValueLen / sizeof(CK_ULONG); i++) {
            CK_ULONG number;
            memcpy(&number, (const CK_BYTE *)part->pValue + i * sizeof number, sizeof number);
            wire_put_int(out, number);
            count++;
        }
    } else {
        put_pointed(out, part->pValue, part->ulValueLen);
        count++;
    }
    wire_end_list(out, place, count);
}

static uint32_t put_kdf(struct wire_out *out, const CK_SP800_108_KDF_PARAMS *kdf) {
    wire_put_int(out, kdf->prftype);
    if (kdf->pDataParams == NULL || kdf->ulNumberOfDataParams > MAX_PARTS) {
        return 1;
    }
    for (CK_ULONG i = 0; i < kdf->ulNumberOfDataParams; i++) {
        put_part(out, &kdf->pDataParams[i]);
    }
    return 1 + (uint32_t)kdf->ulNumberOfDataParams;
}

static uint32_t put_numbers(struct wire_out *out, const CK_ULONG *numbers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        wire_put_int(out, numbers[i]);
    }
    return count;
}

static uint32_t put_fields(struct wire_out *out, char form, const void *parameter, CK_ULONG length) {
    if (form == 'g' && (length == sizeof(CK_GCM_PARAMS) || length == sizeof(CK_GCM_PARAMS_SHORT))) {
        return put_gcm(out, parameter, length);
    }
    if (form == 'p' && length == sizeof(CK_RSA_PKCS_PSS_PARAMS)) {
        return put_numbers(out, parameter, 3);
    }
    if (form == 'o' && length == sizeof(CK_RSA_PKCS_OAEP_PARAMS)) {
        return put_oaep(out, parameter);
    }
    if (form == 'c' && length == sizeof(CK_AES_CTR_PARAMS)) {
        const CK_AES_CTR_PARAMS *counter = parameter;
        wire_put_int(out, counter->ulCounterBits);
        wire_put_bytes(out, counter->cb, sizeof counter->cb);
        return 2;
    }
    if (form == 'r' && length == sizeof(CK_RSA_AES_KEY_WRAP_PARAMS)) {
        const CK_RSA_AES_KEY_WRAP_PARAMS *wrap = parameter;
        wire_put_int(out, wrap->ulAESKeyBits);
        return wrap->pOAEPParams == NULL ? 1 : 1 + put_oaep(out, wrap->pOAEPParams);
    }
    if (form == 'e' && length == sizeof(CK_ECDH1_DERIVE_PARAMS)) {
        return put_ecdh(out, parameter);
    }
    if (form == 'k' && length == sizeof(CK_SP800_108_KDF_PARAMS)) {
        return put_kdf(out, parameter);
    }
    wire_put_bytes(out, parameter, length);
    return 1;
}

void put_parameter(struct wire_out *out, const CK_MECHANISM *mechanism) {
    size_t place = wire_begin_list(out);
    uint32_t count = 0;
    if (mechanism->pParameter != NULL && mechanism->ulParameterLen > 0) {
        count = put_fields(out, form_of(mechanism->mechanism), mechanism->pParameter, mechanism->ulParameterLen);
    }
    wire_end_list(out, place, count);
}

CK_BYTE *iv_place(const CK_MECHANISM *mechanism, CK_ULONG *length) {
    *length = 0;
    if (mechanism->pParameter == NULL || form_of(mechanism->mechanism) != 'g' ||
        (mechanism->ulParameterLen != sizeof(CK_GCM_PARAMS) &&
         mechanism->ulParameterLen != sizeof(CK_GCM_PARAMS_SHORT))) {
        return NULL;
    }
    /* Both structures begin with the pointer and the length. */
    const CK_GCM_PARAMS_SHORT *gcm = mechanism->pParameter;
    *length = gcm->ulIvLen;
    return gcm->pIv;
}

static CK_RV copy(CK_ATTRIBUTE *attribute, const void *value, size_t length) {
    if (attribute->pValue == NULL) {
        attribute->ulValueLen = length;
        return CKR_OK;
    }
    if (attribute->ulValueLen < length) {
        attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (length > 0) {
        memcpy(attribute->pValue, value, length);
    }
    attribute->ulValueLen = length;
    return CKR_OK;
}

/* An array of attributes: the caller gives an array, and in each element a buffer. */
static CK_RV get_nested(struct wire_in *in, CK_ATTRIBUTE *attribute) {
    uint32_t count = wire_get_list(in);
    size_t size = count * sizeof(CK_ATTRIBUTE);
    CK_ATTRIBUTE *inner = attribute->pValue;
    CK_RV rv = CKR_OK;
    if (inner != NULL && attribute->ulValueLen < size) {
        attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        rv = CKR_BUFFER_TOO_SMALL;
        inner = NULL;
    } else {
        attribute->ulValueLen = size;
    }
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (inner == NULL || wire_get_list(in) != 2) {
            wire_skip(in);
            continue;
        }
        inner[i].type = wire_get_int(in);
        if (wire_peek(in) == WIRE_LIST) {
            in->failed = true;
            break;
        }
        CK_RV one = get_attribute(in, &inner[i]);
        rv = one == CKR_OK ? rv : one;
    }
    return rv;
}

CK_RV get_attribute(struct wire_in *in, CK_ATTRIBUTE *attribute) {
    CK_ULONG number;
    CK_BBOOL truth;
    const unsigned char *value;
    size_t length;
    switch (wire_peek(in)) {
    case WIRE_NULL:
        wire_get_null(in);
        attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_OK;
    case WIRE_FALSE:
    case WIRE_TRUE:
        truth = wire_get_bool(in);
        return copy(attribute, &truth, sizeof truth);
    case WIRE_INT:
        number = wire_get_int(in);
        return copy(attribute, &number, sizeof number);
    case WIRE_LIST:
        return get_nested(in, attribute);
    default:
        value = wire_get_bytes(in, &length);
        return in->failed ? CKR_DEVICE_ERROR : copy(attribute, value, length);
    }
}
