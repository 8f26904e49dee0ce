/* Measures one PKCS #11 module through a C loop, a window at a time, as it is told to.
 *
 * Arguments: the module's path, the PIN, bits of flags (1: the HSM chooses the IV of AES-GCM). It prints the names of its
 * operations and an empty line; then, for each line of operation, threads and milliseconds with tabs between them,
 * operations per second, 0 for one that the module does not have. Each thread has a session of its own.
 */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pkcs11.h"

enum { MAX_THREADS = 64, SIZE = 1024, DIGEST = 32 };
enum operation { RSA_SIGN, RSA_VERIFY, EC_SIGN, EC_VERIFY, GCM, OPERATIONS };

static const char *const NAMES[OPERATIONS] = {
    "RSA-2048 sign", "RSA-2048 verify", "P-256 sign", "P-256 verify", "AES-256-GCM encrypt 1024 B",
};

static CK_FUNCTION_LIST *pkcs11;
static CK_SLOT_ID slot;
static CK_OBJECT_HANDLE public_keys[2], private_keys[2], secret;
static int iv_from_hsm;

struct worker {
    pthread_t thread;
    enum operation operation;
    double end;
    unsigned long done;
    int failed;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static CK_RV make_keys(CK_SESSION_HANDLE session) {
    static CK_BYTE exponent[] = {1, 0, 1}, curve[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    static CK_BBOOL yes = 1;
    static CK_ULONG bits = 2048, length = 32;
    CK_ATTRIBUTE rsa[] = {{0x10A, &yes, 1}, {0x121, &bits, sizeof bits}, {0x122, exponent, sizeof exponent}};
    CK_ATTRIBUTE ec[] = {{0x10A, &yes, 1}, {0x180, curve, sizeof curve}};
    CK_ATTRIBUTE signs[] = {{0x108, &yes, 1}};
    CK_ATTRIBUTE aes[] = {{0x104, &yes, 1}, {0x105, &yes, 1}, {0x161, &length, sizeof length}};
    CK_MECHANISM rsa_pair = {0, NULL, 0}, ec_pair = {0x1040, NULL, 0}, aes_key = {0x1080, NULL, 0};
    CK_RV rv = pkcs11->C_GenerateKeyPair(session, &rsa_pair, rsa, 3, signs, 1, &public_keys[0], &private_keys[0]);
    rv = rv ? rv : pkcs11->C_GenerateKeyPair(session, &ec_pair, ec, 2, signs, 1, &public_keys[1], &private_keys[1]);
    return rv ? rv : pkcs11->C_GenerateKey(session, &aes_key, aes, 3, &secret);
}

static CK_RV once(CK_SESSION_HANDLE session, enum operation operation, CK_BYTE *signature, CK_ULONG *length) {
    static CK_BYTE data[SIZE];
    CK_MECHANISM mechanism = {operation == RSA_SIGN || operation == RSA_VERIFY ? 0x40 : 0x1041, NULL, 0};
    int ec = operation == EC_SIGN || operation == EC_VERIFY;
    CK_BYTE sealed[SIZE + 16], iv[12] = {0};
    CK_ULONG room = sizeof sealed;
    CK_GCM_PARAMS gcm = {iv, sizeof iv, 96, NULL, 0, 128};
    CK_RV rv;
    switch (operation) {
    case RSA_SIGN: case EC_SIGN:
        rv = pkcs11->C_SignInit(session, &mechanism, private_keys[ec]);
        *length = 256;
        return rv ? rv : pkcs11->C_Sign(session, data, DIGEST, signature, length);
    case RSA_VERIFY: case EC_VERIFY:
        rv = pkcs11->C_VerifyInit(session, &mechanism, public_keys[ec]);
        return rv ? rv : pkcs11->C_Verify(session, data, DIGEST, signature, *length);
    default:
        mechanism = (CK_MECHANISM){0x1087, &gcm, sizeof gcm};
        if (!iv_from_hsm) {
            *(double *)iv = now();
        }
        rv = pkcs11->C_EncryptInit(session, &mechanism, secret);
        return rv ? rv : pkcs11->C_Encrypt(session, data, SIZE, sealed, &room);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    CK_BYTE signature[256];
    CK_ULONG length = 0;
    CK_SESSION_HANDLE session;
    CK_RV rv = pkcs11->C_OpenSession(slot, 6, NULL, NULL, &session);
    int verifies = worker->operation == RSA_VERIFY || worker->operation == EC_VERIFY;
    if (rv == CKR_OK && verifies) {
        rv = once(session, worker->operation - 1, signature, &length);
    }
    while (rv == CKR_OK && now() < worker->end) {
        rv = once(session, worker->operation, signature, &length);
        worker->done++;
    }
    worker->failed = rv != CKR_OK;
    if (worker->failed) {
        fprintf(stderr, "%s: %#lx\n", NAMES[worker->operation], rv);
    }
    pkcs11->C_CloseSession(session);
    return NULL;
}

static long rate(enum operation operation, int threads, long milliseconds) {
    struct worker workers[MAX_THREADS];
    double begin = now();
    unsigned long done = 0;
    int failed = 0;
    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){.operation = operation, .end = begin + (double)milliseconds / 1000};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        failed |= workers[i].failed;
    }
    return failed ? 0 : (long)((double)done / (now() - begin));
}

static int fail(const char *what, CK_RV rv) {
    fprintf(stderr, "%s: %#lx\n", what, rv);
    return 1;
}

static int start(const char *path, const char *pin, CK_SESSION_HANDLE *session) {
    void *module = dlopen(path, RTLD_NOW);
    CK_RV (*list)(CK_FUNCTION_LIST **) = module ? dlsym(module, "C_GetFunctionList") : NULL;
    CK_ULONG one = 1;
    if (list == NULL || list(&pkcs11) != CKR_OK) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    CK_RV rv = pkcs11->C_Initialize(NULL);
    rv = rv ? rv : pkcs11->C_GetSlotList(1, NULL, &one);
    CK_SLOT_ID slots[16];
    one = 16;
    rv = rv ? rv : pkcs11->C_GetSlotList(1, slots, &one);
    slot = slots[0];
    rv = rv ? rv : pkcs11->C_OpenSession(slot, 6, NULL, NULL, session);
    rv = rv ? rv : pkcs11->C_Login(*session, 1, (CK_UTF8CHAR *)(unsigned long)pin, strlen(pin));
    rv = rv ? rv : make_keys(*session);
    return rv ? fail("start", rv) : 0;
}

int main(int count, char **words) {
    char name[64];
    int threads;
    long milliseconds;
    CK_SESSION_HANDLE session;
    if (count != 4 || start(words[1], words[2], &session)) {
        return 2;
    }
    iv_from_hsm = atoi(words[3]) & 1;
    for (int i = 0; i < OPERATIONS; i++) {
        puts(NAMES[i]);
    }
    puts("");
    fflush(stdout);
    while (scanf(" %63[^\t]\t%d\t%ld", name, &threads, &milliseconds) == 3 && threads <= MAX_THREADS) {
        enum operation operation = 0;
        while (operation < OPERATIONS && strcmp(name, NAMES[operation]) != 0) {
            operation++;
        }
        printf("%ld\n", operation < OPERATIONS ? rate(operation, threads, milliseconds) : 0);
        fflush(stdout);
    }
    return pkcs11->C_Finalize(NULL) == CKR_OK ? 0 : 1;
}
