/* TLS 1.3 as a client, between buffers: the caller moves the bytes. OpenSSL's libssl is loaded when it is first needed. */

#ifndef HSMBRIDGE_TLS_H
#define HSMBRIDGE_TLS_H

#include "connection.h"

enum { TLS_WHY = 512 }; /* room for the reason of a failure */

/* TLS_WAITS: the server has to send more first. */
enum tls_step { TLS_DONE, TLS_WAITS, TLS_FAILED };

struct tls;

/* NULL where libssl is missing or a file cannot be used. */
struct tls *tls_new(const struct tls_files *files, const char *host, char *why);
void tls_free(struct tls *tls);

enum tls_step tls_handshake(struct tls *tls, char *why);
/* Tell whether the certificate is that of the host.
 *
 * It names the host (RFC 6125, without wildcards), or it names nothing and its subject is an HSM's: `openssl x509` without
 * -copy_extensions, as CloudHSM's guide has it, leaves the names out, and the authority signs for HSMs alone.
 */
bool tls_is_server(struct tls *tls, const char *host, char *why);

/* Take records from the server, and records for it. */
bool tls_input(struct tls *tls, const unsigned char *records, size_t length);
size_t tls_output(struct tls *tls, unsigned char *records, size_t room);
/* Tell whether every record of the server was read. */
bool tls_idle(const struct tls *tls);

bool tls_write(struct tls *tls, const unsigned char *data, size_t length);
enum tls_step tls_read(struct tls *tls, unsigned char *data, size_t room, size_t *length);

#endif
