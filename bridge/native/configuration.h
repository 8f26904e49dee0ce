/* The library's configuration: a slot for each cluster, with its servers and its options. */

#ifndef HSMBRIDGE_CONFIGURATION_H
#define HSMBRIDGE_CONFIGURATION_H

#include "client.h"
#include "wire.h"

struct configured {
    struct cluster cluster;
    struct wire_out options; /* a map, as CRYPTOKI_OPEN takes it */
};

/* Read the configuration into at most `room` slots, and the place of the log. Returns how many slots there are, -1 for a
 * file that is not understood.
 *
 * The file is $HSM_PKCS11_CONFIG. Without it, HSM_HOME names the one slot; without that, the file is the installed one,
 * and where it does not exist, the slot is the default socket of the user.
 * $HSM_PKCS11_OPTIONS lists options that are switched on, with commas between.
 */
int configuration_read(struct configured *slots, int room);

#endif
