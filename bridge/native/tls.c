/* Why libssl is loaded instead of linked: a program without TLS needs none, the library is built without OpenSSL's headers,
 * and a program that has OpenSSL itself keeps the version that it has. Where the version has library contexts (OpenSSL 3),
 * this file has one of its own, so that no provider or property of the program takes part; and what the program's queue of
 * errors holds stays as it is.
 */

#include "tls.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509;
typedef struct X509_name_st X509_NAME;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
typedef int (*passphrase)(char *, int, int, void *);

/* Public numbers of OpenSSL, which no version has changed. */
enum {
    SSL_VERIFY_PEER = 1, SSL_FILETYPE_PEM = 1, SSL_READING = 3, TLS1_3_VERSION = 0x0304, SSL_CTRL_SET_TLSEXT_HOSTNAME = 55,
    SSL_CTRL_SET_MIN_PROTO_VERSION = 123, BIO_CTRL_PENDING = 10, NID_COMMON_NAME = 13, NID_SUBJECT_ALT_NAME = 85,
    NO_WILDCARDS = 2, NEVER_CHECK_SUBJECT = 0x20, X509_V_OK = 0, UNABLE_TO_GET_ISSUER = 2, SIGNATURE_FAILURE = 7,
    HAS_EXPIRED = 10, SELF_SIGNED = 18, SELF_SIGNED_IN_CHAIN = 19, NO_LOCAL_ISSUER = 20, NO_FIRST_SIGNATURE = 21,
};

#define NEEDED(X) \
    X(const SSL_METHOD *, TLS_client_method, (void)) \
    X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *)) \
    X(void, SSL_CTX_free, (SSL_CTX *)) \
    X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *)) \
    X(void, SSL_CTX_set_verify, (SSL_CTX *, int, void *)) \
    X(int, SSL_CTX_load_verify_locations, (SSL_CTX *, const char *, const char *)) \
    X(void, SSL_CTX_set_default_passwd_cb, (SSL_CTX *, passphrase)) \
    X(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX *, const char *)) \
    X(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int)) \
    X(SSL *, SSL_new, (SSL_CTX *)) \
    X(void, SSL_free, (SSL *)) \
    X(void, SSL_set_bio, (SSL *, BIO *, BIO *)) \
    X(void, SSL_set_connect_state, (SSL *)) \
    X(long, SSL_ctrl, (SSL *, int, long, void *)) \
    X(int, SSL_do_handshake, (SSL *)) \
    X(int, SSL_read, (SSL *, void *, int)) \
    X(int, SSL_write, (SSL *, const void *, int)) \
    X(int, SSL_want, (const SSL *)) \
    X(long, SSL_get_verify_result, (const SSL *)) \
    X(BIO *, BIO_new, (const BIO_METHOD *)) \
    X(const BIO_METHOD *, BIO_s_mem, (void)) \
    X(int, BIO_free, (BIO *)) \
    X(int, BIO_read, (BIO *, void *, int)) \
    X(int, BIO_write, (BIO *, const void *, int)) \
    X(long, BIO_ctrl, (BIO *, int, long, void *)) \
    X(void, X509_free, (X509 *)) \
    X(int, X509_check_host, (X509 *, const char *, size_t, unsigned, char **)) \
    X(int, X509_check_ip_asc, (X509 *, const char *, unsigned)) \
    X(int, X509_get_ext_by_NID, (const X509 *, int, int)) \
    X(X509_NAME *, X509_get_subject_name, (const X509 *)) \
    X(int, X509_NAME_get_text_by_NID, (X509_NAME *, int, char *, int)) \
    X(const char *, X509_verify_cert_error_string, (long)) \
    X(int, ERR_set_mark, (void)) \
    X(int, ERR_pop_to_mark, (void)) \
    X(unsigned long, ERR_peek_last_error, (void)) \
    X(const char *, ERR_reason_error_string, (unsigned long))

/* Functions of OpenSSL 3 only, or of 1.1 only. */
#define OPTIONAL(X) \
    X(OSSL_LIB_CTX *, OSSL_LIB_CTX_new, (void)) \
    X(SSL_CTX *, SSL_CTX_new_ex, (OSSL_LIB_CTX *, const char *, const SSL_METHOD *)) \
    X(X509 *, SSL_get1_peer_certificate, (const SSL *)) \
    X(X509 *, SSL_get_peer_certificate, (const SSL *))

#define MEMBER(type, name, arguments) type(*name) arguments;
#define FIND(type, name, arguments) *(void **)&ssl.name = dlsym(handle, #name);
#define IS_THERE(type, name, arguments) &&ssl.name != NULL

static struct {
    NEEDED(MEMBER)
    OPTIONAL(MEMBER)
    OSSL_LIB_CTX *own;
    bool loaded;
} ssl;

struct tls {
    SSL *session;
    BIO *in, *out;
    char authority[LONGEST_PATH];
};

/* The one that the program has, else the newest. */
static void *find_libssl(void) {
    static const char *const NAMES[] = {"libssl.so.3", "libssl.so.1.1"};
    static const int WAYS[] = {RTLD_NOLOAD, 0};
    for (int way = 0; way < 2; way++) {
        for (int name = 0; name < 2; name++) {
            void *handle = dlopen(NAMES[name], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | WAYS[way]);
            if (handle != NULL) {
                return handle;
            }
        }
    }
    return NULL;
}

static void load_once(void) {
    void *handle = find_libssl();
    if (handle == NULL) {
        return;
    }
    NEEDED(FIND)
    OPTIONAL(FIND)
    if (ssl.OSSL_LIB_CTX_new != NULL && ssl.SSL_CTX_new_ex != NULL) {
        ssl.own = ssl.OSSL_LIB_CTX_new();
    }
    ssl.loaded = true NEEDED(IS_THERE) && (ssl.SSL_get1_peer_certificate || ssl.SSL_get_peer_certificate);
}

static bool load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_once);
    return ssl.loaded;
}

/* Forget the errors since the mark, and write the last of them into `why`, which may be NULL. */
static void end_errors(char *why) {
    unsigned long last = ssl.ERR_peek_last_error();
    const char *reason = last != 0 ? ssl.ERR_reason_error_string(last) : NULL;
    if (why != NULL) {
        snprintf(why, TLS_WHY, "%s", reason != NULL ? reason : "TLS failed");
    }
    ssl.ERR_pop_to_mark();
}

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *data) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)data;
    return 0;
}

static bool use_files(SSL_CTX *context, const struct tls_files *files, char *why) {
    const char *failed = NULL;
    char reason[TLS_WHY];
    ssl.SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (ssl.SSL_CTX_load_verify_locations(context, files->authority, NULL) != 1) {
        failed = files->authority;
    } else if (files->certificate[0] && ssl.SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1) {
        failed = files->certificate;
    } else if (files->key[0] && ssl.SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1) {
        failed = files->key;
    }
    if (failed != NULL) {
        end_errors(reason);
        snprintf(why, TLS_WHY, "the file %.300s cannot be used (%.100s)", failed, reason);
        ssl.ERR_set_mark();
    }
    return failed == NULL;
}

static SSL_CTX *new_context(const struct tls_files *files, char *why) {
    SSL_CTX *context = ssl.own != NULL ? ssl.SSL_CTX_new_ex(ssl.own, NULL, ssl.TLS_client_method())
                                       : ssl.SSL_CTX_new(ssl.TLS_client_method());
    if (context == NULL || ssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, NULL) != 1) {
        snprintf(why, TLS_WHY, "OpenSSL has no TLS 1.3");
    } else if (use_files(context, files, why)) {
        ssl.SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        return context;
    }
    if (context != NULL) {
        ssl.SSL_CTX_free(context);
    }
    return NULL;
}

static bool is_address(const char *host) {
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool begin(struct tls *tls, SSL_CTX *context, const char *host) {
    tls->session = ssl.SSL_new(context);
    tls->in = ssl.BIO_new(ssl.BIO_s_mem());
    tls->out = ssl.BIO_new(ssl.BIO_s_mem());
    if (tls->session == NULL || tls->in == NULL || tls->out == NULL) {
        ssl.BIO_free(tls->in);
        ssl.BIO_free(tls->out);
        return false;
    }
    ssl.SSL_set_bio(tls->session, tls->in, tls->out);
    ssl.SSL_set_connect_state(tls->session);
    if (!is_address(host)) {
        ssl.SSL_ctrl(tls->session, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, (void *)(uintptr_t)host);
    }
    return true;
}

struct tls *tls_new(const struct tls_files *files, const char *host, char *why) {
    if (!load()) {
        snprintf(why, TLS_WHY, "TLS takes OpenSSL's libssl.so.3 or libssl.so.1.1, which is missing");
        return NULL;
    }
    struct tls *tls = calloc(1, sizeof *tls);
    ssl.ERR_set_mark();
    SSL_CTX *context = tls != NULL ? new_context(files, why) : NULL;
    bool begun = context != NULL && begin(tls, context, host);
    if (context != NULL) {
        ssl.SSL_CTX_free(context); /* The session has a reference of its own. */
    }
    end_errors(NULL);
    if (!begun) {
        tls_free(tls);
        return NULL;
    }
    strcpy(tls->authority, files->authority);
    return tls;
}

void tls_free(struct tls *tls) {
    if (tls != NULL && tls->session != NULL) {
        ssl.ERR_set_mark();
        ssl.SSL_free(tls->session); /* Frees the two buffers too. */
        ssl.ERR_pop_to_mark();
    }
    free(tls);
}

/* SSL_get_error would take the program's own errors for those of TLS. `before` is the last of them. */
static enum tls_step step_of(const struct tls *tls, int done, unsigned long before, char *why) {
    bool failed = ssl.ERR_peek_last_error() != before || ssl.SSL_want(tls->session) != SSL_READING;
    enum tls_step step = done > 0 ? TLS_DONE : failed ? TLS_FAILED : TLS_WAITS;
    end_errors(step == TLS_FAILED ? why : NULL);
    return step;
}

static void tell_verification(const struct tls *tls, long result, char *why) {
    switch (result) {
    case UNABLE_TO_GET_ISSUER: case SIGNATURE_FAILURE: case SELF_SIGNED: case SELF_SIGNED_IN_CHAIN: case NO_LOCAL_ISSUER:
    case NO_FIRST_SIGNATURE:
        snprintf(why, TLS_WHY, "no authority in %.400s has signed its certificate", tls->authority);
        break;
    case HAS_EXPIRED:
        snprintf(why, TLS_WHY, "its certificate has expired");
        break;
    default:
        snprintf(why, TLS_WHY, "%s", ssl.X509_verify_cert_error_string(result));
    }
}

enum tls_step tls_handshake(struct tls *tls, char *why) {
    unsigned long before = ssl.ERR_peek_last_error();
    ssl.ERR_set_mark();
    enum tls_step step = step_of(tls, ssl.SSL_do_handshake(tls->session), before, why);
    long result = step == TLS_FAILED ? ssl.SSL_get_verify_result(tls->session) : X509_V_OK;
    if (result != X509_V_OK) {
        tell_verification(tls, result, why);
    }
    return step;
}

bool tls_is_server(struct tls *tls, const char *host, char *why) {
    char subject[LONGEST_HOST] = "";
    ssl.ERR_set_mark();
    X509 *certificate = ssl.SSL_get1_peer_certificate != NULL ? ssl.SSL_get1_peer_certificate(tls->session)
                                                              : ssl.SSL_get_peer_certificate(tls->session);
    bool is = false;
    if (certificate != NULL) {
        X509_NAME *name = ssl.X509_get_subject_name(certificate);
        ssl.X509_NAME_get_text_by_NID(name, NID_COMMON_NAME, subject, sizeof subject);
        if (ssl.X509_get_ext_by_NID(certificate, NID_SUBJECT_ALT_NAME, -1) < 0) {
            is = strncmp(subject, "HSM:", 4) == 0;
        } else if (is_address(host)) {
            is = ssl.X509_check_ip_asc(certificate, host, 0) == 1;
        } else {
            is = ssl.X509_check_host(certificate, host, 0, NO_WILDCARDS | NEVER_CHECK_SUBJECT, NULL) == 1;
        }
        ssl.X509_free(certificate);
    }
    end_errors(NULL);
    if (!is) {
        snprintf(why, TLS_WHY, "its certificate (%.200s) is not for %.200s", subject, host);
    }
    return is;
}

bool tls_input(struct tls *tls, const unsigned char *records, size_t length) {
    return ssl.BIO_write(tls->in, records, (int)length) == (int)length;
}

size_t tls_output(struct tls *tls, unsigned char *records, size_t room) {
    if (ssl.BIO_ctrl(tls->out, BIO_CTRL_PENDING, 0, NULL) == 0) {
        return 0;
    }
    int length = ssl.BIO_read(tls->out, records, (int)room);
    return length > 0 ? (size_t)length : 0;
}

bool tls_idle(const struct tls *tls) {
    return ssl.BIO_ctrl(tls->in, BIO_CTRL_PENDING, 0, NULL) == 0;
}

bool tls_write(struct tls *tls, const unsigned char *data, size_t length) {
    ssl.ERR_set_mark();
    bool written = ssl.SSL_write(tls->session, data, (int)length) == (int)length;
    ssl.ERR_pop_to_mark();
    return written;
}

enum tls_step tls_read(struct tls *tls, unsigned char *data, size_t room, size_t *length) {
    unsigned long before = ssl.ERR_peek_last_error();
    ssl.ERR_set_mark();
    int read = ssl.SSL_read(tls->session, data, (int)room);
    *length = read > 0 ? (size_t)read : 0;
    return step_of(tls, read, before, NULL);
}
