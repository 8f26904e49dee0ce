/* The addresses of a cluster's HSMs, as one of them names them. */

#ifndef HSMBRIDGE_MEMBERS_H
#define HSMBRIDGE_MEMBERS_H

#include "connection.h"
#include "wire.h"

/* Read the answer to CLUSTER_MEMBERS into at most `room` servers. Returns how many there are; 0 where it is not understood. */
int members_read(struct wire_in *in, struct server *servers, int room);

#endif
