/* REPEAT: a short request that runs a prepared operation on other data. */

#ifndef HSMBRIDGE_REPEAT_H
#define HSMBRIDGE_REPEAT_H

#include "module.h"

/* Tell whether the HSM gave a number for the operation, of which it has not heard yet. */
bool can_repeat(const struct active *active);

/* Run the operation on all its data; verify a signature. They return false where the whole call has to say why not. */
bool run_repeated(struct slot *slot, struct active *active, const CK_BYTE *data, CK_ULONG data_length, CK_BYTE *result,
                  CK_ULONG *length, CK_RV *rv);
bool verify_repeated(struct slot *slot, const struct active *active, const CK_BYTE *data, CK_ULONG data_length,
                     const CK_BYTE *signature, CK_ULONG signature_length, CK_RV *rv);

#endif
