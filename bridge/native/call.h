/* One Cryptoki function as a request, and its results. */

#ifndef HSMBRIDGE_CALL_H
#define HSMBRIDGE_CALL_H

#include "module.h"

struct call {
    struct slot *slot;
    const char *function;
    struct wire_out request;
    size_t place;
    uint32_t arguments;
    struct response response;
    struct wire_in *in; /* the results */
    uint32_t results;   /* how many there are */
};

/* Begin a call. The caller writes the arguments with the functions below, or into `request` and counts them. */
void call_begin(struct call *call, struct slot *slot, const char *function);
void call_int(struct call *call, uint64_t value);
void call_bytes(struct call *call, const void *value, size_t length);
void call_bool(struct call *call, bool value);
void call_null(struct call *call);
/* The size of the caller's buffer for a result; null for no buffer. */
void call_room(struct call *call, const CK_BYTE *buffer, CK_ULONG size);
void call_raw(struct call *call, const unsigned char *value, size_t length);
void call_template(struct call *call, const CK_ATTRIBUTE *attributes, CK_ULONG count);
/* The mechanism's number and the fields of its parameter: two arguments. */
void call_mechanism(struct call *call, const CK_MECHANISM *mechanism);

/* Send the call and return its return code. CKR_DEVICE_ERROR where no answer came or it is not understood. */
CK_RV call_send(struct call *call);
/* Return `rv`, or CKR_DEVICE_ERROR where the results were not those of the function; free everything. */
CK_RV call_end(struct call *call, CK_RV rv);

/* Read a result: its bytes (null where they did not fit or were not asked for), its length, the IV that the HSM chose. */
CK_RV get_result(struct call *call, CK_RV rv, CK_BYTE *result, CK_ULONG *length, CK_BYTE *iv, CK_ULONG iv_length);

/* Write the fields of a mechanism's parameter, as a list. */
void put_parameter(struct wire_out *out, const CK_MECHANISM *mechanism);
/* Where the mechanism's IV goes that the HSM chooses; NULL for none. */
CK_BYTE *iv_place(const CK_MECHANISM *mechanism, CK_ULONG *length);

/* Write a value into an attribute of the caller. */
CK_RV get_attribute(struct wire_in *in, CK_ATTRIBUTE *attribute);

#endif
