/* The OpenSSL engine "cloudhsm": private keys that a reference PEM stands for sign and decrypt in the HSM.
 *
 * A reference PEM has the public key, and the key's handle in place of the private number. The engine finds the key in the
 * HSM by its public key, through the functions of the PKCS #11 library, which are part of this file's library. Every other
 * key is OpenSSL's own.
 */

#define OPENSSL_API_COMPAT 0x10100000L
#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11.h"

static const char ID[] = "cloudhsm", NAME[] = "CloudHSM OpenSSL Engine";

enum { CKA_CLASS = 0x0, CKA_MODULUS = 0x120, CKA_EC_POINT = 0x181, CKO_PRIVATE_KEY = 3, CKU_USER = 1 };
enum { CKM_RSA_PKCS = 0x1, CKM_RSA_PKCS_PSS = 0xD, CKM_ECDSA = 0x1041, CKF_RW = 0x2 | 0x4 };
enum { LONGEST_NUMBER = 1024, REFERENCE_BITS = 63, KNOWN = 32 };

/* The key that has a public value. */
struct known {
    CK_ATTRIBUTE_TYPE type;
    CK_ULONG length;
    unsigned char value[LONGEST_NUMBER];
    CK_OBJECT_HANDLE key;
};

static struct {
    pthread_mutex_t lock;
    pid_t process;
    CK_SESSION_HANDLE session;
    struct known known[KNOWN]; /* keys that this process found, each in the place of its value */
} hsm = {.lock = PTHREAD_MUTEX_INITIALIZER};

static RSA_METHOD *rsa_method;
static EC_KEY_METHOD *ec_method;
static EVP_PKEY_METHOD *rsa_pkey, *ec_pkey;
static int (*rsa_pkey_sign)(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);

/* Put the reason for a failure on OpenSSL's stack, which programs print. Returns 0. */
static int refused(const char *reason) {
    ERR_put_error(ERR_LIB_ENGINE, 0, ENGINE_R_FAILED_LOADING_PRIVATE_KEY, "cloudhsm.c", __LINE__);
    ERR_add_error_data(2, "CloudHSM: ", reason);
    return 0;
}

/* A child finds the lock free, whatever the parent's threads do. */
static void after_fork_in_child(void) {
    pthread_mutex_init(&hsm.lock, NULL);
}

/* The session of this process: a worker that was forked logs in for itself. */
static int log_in(void) {
    const char *pin = getenv("CLOUDHSM_PIN");
    CK_SESSION_INFO info;
    if (hsm.process == getpid()) {
        if (C_GetSessionInfo(hsm.session, &info) == CKR_OK && info.state == 3) {
            return 1;
        }
        C_CloseSession(hsm.session);
    }
    hsm.process = 0;
    memset(hsm.known, 0, sizeof hsm.known);
    pin = pin != NULL ? pin : getenv("n3fips_password");
    if (pin == NULL) {
        return refused("CLOUDHSM_PIN is not set; it is user:password");
    }
    CK_RV rv = C_Initialize(NULL);
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        return refused("the configuration cannot be used");
    }
    if (C_OpenSession(0, CKF_RW, NULL, NULL, &hsm.session) != CKR_OK) {
        return refused("no HSM answers; `hsm start` starts one");
    }
    rv = C_Login(hsm.session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin));
    hsm.process = getpid();
    if (rv != CKR_OK && rv != 0x100) { /* CKR_USER_ALREADY_LOGGED_IN */
        return refused("the HSM refuses the login of CLOUDHSM_PIN");
    }
    return 1;
}

static int find_key(const struct known *wanted, CK_OBJECT_HANDLE *key) {
    CK_ULONG class = CKO_PRIVATE_KEY, found = 0;
    void *value = (void *)(uintptr_t)wanted->value;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {wanted->type, value, wanted->length}};
    if (C_FindObjectsInit(hsm.session, template, 2) != CKR_OK) {
        return 0;
    }
    CK_RV rv = C_FindObjects(hsm.session, key, 1, &found);
    C_FindObjectsFinal(hsm.session);
    return rv == CKR_OK && found == 1;
}

struct use {
    CK_MECHANISM *mechanism;
    int decrypt;
    const unsigned char *data;
    size_t length;
    unsigned char *result;
    size_t room;
};

static CK_RV use_handle(const struct use *use, CK_OBJECT_HANDLE key, CK_ULONG *size) {
    CK_BYTE *data = (CK_BYTE *)(uintptr_t)use->data;
    *size = use->room;
    if (use->decrypt) {
        CK_RV rv = C_DecryptInit(hsm.session, use->mechanism, key);
        return rv == CKR_OK ? C_Decrypt(hsm.session, data, use->length, use->result, size) : rv;
    }
    CK_RV rv = C_SignInit(hsm.session, use->mechanism, key);
    return rv == CKR_OK ? C_Sign(hsm.session, data, use->length, use->result, size) : rv;
}

/* Sign or decrypt with the key that has this public value. Returns the length of the result, -1 for a failure.
 *
 * Session and handle may be of an earlier run of the HSM, so after a failure both are looked up, and it is tried once more.
 */
static int use_key(const struct known *wanted, const struct use *use) {
    struct known *place = &hsm.known[wanted->value[wanted->length - 1] / 2 % KNOWN];
    CK_ULONG size = 0;
    CK_RV rv = CKR_GENERAL_ERROR;
    pthread_mutex_lock(&hsm.lock);
    if (hsm.process == getpid() && place->type == wanted->type && place->length == wanted->length &&
        memcmp(place->value, wanted->value, wanted->length) == 0) {
        rv = use_handle(use, place->key, &size);
    }
    if (rv != CKR_OK && log_in()) {
        *place = *wanted;
        if (find_key(wanted, &place->key)) {
            rv = use_handle(use, place->key, &size);
        } else {
            refused("the user has no such key");
        }
        place->length = rv == CKR_OK ? place->length : 0;
    }
    pthread_mutex_unlock(&hsm.lock);
    return rv == CKR_OK ? (int)size : -1;
}

/* RSA: the primes of a reference are 1. */

static int is_reference(const RSA *rsa) {
    const BIGNUM *p = NULL, *q = NULL;
    RSA_get0_factors(rsa, &p, &q);
    return p != NULL && q != NULL && BN_is_one(p) && BN_is_one(q);
}

static int rsa_use(const RSA *rsa, CK_MECHANISM *mechanism, int decrypt, const unsigned char *data, size_t length,
                   unsigned char *result) {
    struct known wanted = {.type = CKA_MODULUS};
    const struct use use = {mechanism, decrypt, data, length, result, (size_t)RSA_size(rsa)};
    const BIGNUM *n = NULL;
    RSA_get0_key(rsa, &n, NULL, NULL);
    if (n == NULL || BN_is_zero(n) || BN_num_bytes(n) > LONGEST_NUMBER) {
        return -1;
    }
    wanted.length = (CK_ULONG)BN_bn2bin(n, wanted.value);
    return use_key(&wanted, &use);
}

static int rsa_private(int length, const unsigned char *from, unsigned char *to, RSA *rsa, int padding, int decrypt) {
    const RSA_METHOD *own = RSA_PKCS1_OpenSSL();
    if (!is_reference(rsa)) {
        return decrypt ? RSA_meth_get_priv_dec(own)(length, from, to, rsa, padding)
                       : RSA_meth_get_priv_enc(own)(length, from, to, rsa, padding);
    }
    CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
    if (padding != RSA_PKCS1_PADDING || length < 0) {
        return -1;
    }
    return rsa_use(rsa, &mechanism, decrypt, from, (size_t)length, to);
}

static int rsa_sign(int length, const unsigned char *from, unsigned char *to, RSA *rsa, int padding) {
    return rsa_private(length, from, to, rsa, padding, 0);
}

static int rsa_decrypt(int length, const unsigned char *from, unsigned char *to, RSA *rsa, int padding) {
    return rsa_private(length, from, to, rsa, padding, 1);
}

/* PSS pads in the HSM. Everything else is OpenSSL's method, which calls the functions above. */

static const struct {
    int nid;
    CK_ULONG hash, mask;
} HASHES[] = {{NID_sha1, 0x220, 1}, {NID_sha224, 0x255, 5}, {NID_sha256, 0x250, 2}, {NID_sha384, 0x260, 3},
              {NID_sha512, 0x270, 4}};

static int pss_parameters(EVP_PKEY_CTX *context, const RSA *rsa, CK_RSA_PKCS_PSS_PARAMS *pss) {
    const EVP_MD *digest = NULL, *mask = NULL;
    int salt = 0;
    if (EVP_PKEY_CTX_get_signature_md(context, &digest) <= 0 || digest == NULL ||
        EVP_PKEY_CTX_get_rsa_mgf1_md(context, &mask) <= 0 || EVP_PKEY_CTX_get_rsa_pss_saltlen(context, &salt) <= 0) {
        return 0;
    }
    if (salt == RSA_PSS_SALTLEN_DIGEST) {
        salt = EVP_MD_size(digest);
    } else if (salt < 0) {
        salt = RSA_size(rsa) - EVP_MD_size(digest) - 2;
    }
    for (size_t i = 0; i < sizeof HASHES / sizeof *HASHES; i++) {
        if (HASHES[i].nid == EVP_MD_type(digest) && salt >= 0 && (mask == NULL || EVP_MD_type(mask) == HASHES[i].nid)) {
            *pss = (CK_RSA_PKCS_PSS_PARAMS){HASHES[i].hash, HASHES[i].mask, (CK_ULONG)salt};
            return 1;
        }
    }
    return 0;
}

static int rsa_pkey_sign_here(EVP_PKEY_CTX *context, unsigned char *signature, size_t *length,
                              const unsigned char *digest, size_t digest_length) {
    const RSA *rsa = EVP_PKEY_get0_RSA(EVP_PKEY_CTX_get0_pkey(context));
    int padding = 0;
    if (rsa == NULL || signature == NULL || !is_reference(rsa) || EVP_PKEY_CTX_get_rsa_padding(context, &padding) <= 0 ||
        padding != RSA_PKCS1_PSS_PADDING) {
        return rsa_pkey_sign(context, signature, length, digest, digest_length);
    }
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_PSS, &pss, sizeof pss};
    if (!pss_parameters(context, rsa, &pss)) {
        return -1;
    }
    int size = rsa_use(rsa, &mechanism, 0, digest, digest_length, signature);
    if (size < 0) {
        return -1;
    }
    *length = (size_t)size;
    return 1;
}

/* EC: the private number of a reference is a handle of at most 63 bits, which no random key has. */

static int octet_string(const EC_KEY *key, unsigned char *value, size_t room) {
    unsigned char *point = NULL;
    size_t length = EC_KEY_key2buf(key, POINT_CONVERSION_UNCOMPRESSED, &point, NULL), head = length < 128 ? 2 : 3;
    if (length == 0 || length > 255 || length + head > room) {
        OPENSSL_free(point);
        return -1;
    }
    value[0] = 4;
    value[1] = 0x81;
    value[head - 1] = (unsigned char)length;
    memcpy(value + head, point, length);
    OPENSSL_free(point);
    return (int)(length + head);
}

static ECDSA_SIG *ec_sign(const unsigned char *digest, int length, const BIGNUM *inverse, const BIGNUM *r, EC_KEY *key) {
    ECDSA_SIG *(*own)(const unsigned char *, int, const BIGNUM *, const BIGNUM *, EC_KEY *) = NULL;
    const BIGNUM *number = EC_KEY_get0_private_key(key);
    unsigned char signature[200];
    if (number == NULL || BN_num_bits(number) > REFERENCE_BITS) {
        EC_KEY_METHOD_get_sign(EC_KEY_OpenSSL(), NULL, NULL, &own);
        return own(digest, length, inverse, r, key);
    }
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    struct known wanted = {.type = CKA_EC_POINT};
    int size = octet_string(key, wanted.value, sizeof wanted.value);
    if (size > 0 && length >= 0) {
        const struct use use = {&mechanism, 0, digest, (size_t)length, signature, sizeof signature};
        wanted.length = (CK_ULONG)size;
        size = use_key(&wanted, &use);
    }
    ECDSA_SIG *made = size > 0 && size % 2 == 0 ? ECDSA_SIG_new() : NULL;
    if (made != NULL &&
        !ECDSA_SIG_set0(made, BN_bin2bn(signature, size / 2, NULL), BN_bin2bn(signature + size / 2, size / 2, NULL))) {
        ECDSA_SIG_free(made);
        made = NULL;
    }
    return made;
}

static int make_methods(void) {
    int (*sign)(int, const unsigned char *, int, unsigned char *, unsigned int *, const BIGNUM *, const BIGNUM *,
                EC_KEY *) = NULL;
    int (*setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **) = NULL;
    int (*init)(EVP_PKEY_CTX *) = NULL;
    rsa_method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    rsa_pkey = EVP_PKEY_meth_new(EVP_PKEY_RSA, EVP_PKEY_FLAG_AUTOARGLEN);
    ec_pkey = EVP_PKEY_meth_new(EVP_PKEY_EC, 0);
    if (rsa_method == NULL || ec_method == NULL || rsa_pkey == NULL || ec_pkey == NULL) {
        return 0;
    }
    RSA_meth_set1_name(rsa_method, NAME);
    RSA_meth_set_priv_enc(rsa_method, rsa_sign);
    RSA_meth_set_priv_dec(rsa_method, rsa_decrypt);
    EC_KEY_METHOD_get_sign(EC_KEY_OpenSSL(), &sign, &setup, NULL);
    EC_KEY_METHOD_set_sign(ec_method, sign, setup, ec_sign);
    /* With methods of an engine OpenSSL 3 takes the road on which it uses the methods above. */
    EVP_PKEY_meth_copy(rsa_pkey, EVP_PKEY_meth_find(EVP_PKEY_RSA));
    EVP_PKEY_meth_copy(ec_pkey, EVP_PKEY_meth_find(EVP_PKEY_EC));
    EVP_PKEY_meth_get_sign(rsa_pkey, &init, &rsa_pkey_sign);
    EVP_PKEY_meth_set_sign(rsa_pkey, init, rsa_pkey_sign_here);
    return 1;
}

static int pkey_methods(ENGINE *engine, EVP_PKEY_METHOD **method, const int **nids, int nid) {
    static const int offered[] = {EVP_PKEY_RSA, EVP_PKEY_EC};
    (void)engine;
    if (method == NULL) {
        *nids = offered;
        return 2;
    }
    *method = nid == EVP_PKEY_RSA ? rsa_pkey : nid == EVP_PKEY_EC ? ec_pkey : NULL;
    return *method != NULL;
}

/* Load a PEM file as a key of the engine's methods. OpenSSL 3 needs it to sign certificates and requests. */
static EVP_PKEY *load_key(ENGINE *engine, const char *path, UI_METHOD *method, void *data) {
    (void)engine;
    (void)method;
    (void)data;
    BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *read = file != NULL ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = read != NULL ? EVP_PKEY_new() : NULL;
    RSA *rsa = key != NULL && EVP_PKEY_base_id(read) == EVP_PKEY_RSA ? EVP_PKEY_get1_RSA(read) : NULL;
    EC_KEY *ec = key != NULL && EVP_PKEY_base_id(read) == EVP_PKEY_EC ? EVP_PKEY_get1_EC_KEY(read) : NULL;
    if ((rsa == NULL || !EVP_PKEY_assign_RSA(key, rsa)) && (ec == NULL || !EVP_PKEY_assign_EC_KEY(key, ec))) {
        RSA_free(rsa);
        EC_KEY_free(ec);
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_free(read);
    BIO_free(file);
    return key;
}

static int start(ENGINE *engine) {
    (void)engine;
    return 1;
}

static int bind_cloudhsm(ENGINE *engine, const char *id) {
    if (id != NULL && strcmp(id, ID) != 0) {
        return 0;
    }
    return pthread_atfork(NULL, NULL, after_fork_in_child) == 0 && make_methods() && ENGINE_set_id(engine, ID) && ENGINE_set_name(engine, NAME) &&
           ENGINE_set_init_function(engine, start) && ENGINE_set_RSA(engine, rsa_method) &&
           ENGINE_set_EC(engine, ec_method) && ENGINE_set_pkey_meths(engine, pkey_methods) &&
           ENGINE_set_load_privkey_function(engine, load_key);
}

IMPLEMENT_DYNAMIC_BIND_FN(bind_cloudhsm)
IMPLEMENT_DYNAMIC_CHECK_FN()
