package com.amazonaws.cloudhsm.jce.provider.attributes;

/** Key types, for {@link KeyAttribute#KEY_TYPE}. */
public enum KeyType {
    /** AES, 128, 192 or 256 bits. */
    AES,
    /** Triple DES with three keys. */
    DESEDE,
    /** Elliptic curve. */
    EC,
    /** Edwards curve: Ed25519. */
    EC_EDWARDS,
    /** ML-DSA signatures (FIPS 204). */
    ML_DSA,
    /** Any bytes, for HMAC. */
    GENERIC_SECRET,
    /** RSA, 2048 to 4096 bits. */
    RSA
}
