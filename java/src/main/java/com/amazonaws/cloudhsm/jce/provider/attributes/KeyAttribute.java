package com.amazonaws.cloudhsm.jce.provider.attributes;

import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;

/** Attributes of keys, with the Java types of their values. */
public enum KeyAttribute {
    /** Not unique, up to 127 characters. */
    LABEL(String.class),
    /** Free identifier. */
    ID(byte[].class, String.class),
    /** True for a persistent key, false for one that ends with the session. */
    TOKEN(Boolean.class),
    /** Visible only after login. */
    PRIVATE(Boolean.class),
    /** May be wrapped out. */
    EXTRACTABLE(Boolean.class),
    /** May be wrapped by a trusted key only; once true it stays. */
    WRAP_WITH_TRUSTED(Boolean.class),
    /** May encrypt. */
    ENCRYPT(Boolean.class),
    /** May decrypt. */
    DECRYPT(Boolean.class),
    /** May sign, or make a MAC. */
    SIGN(Boolean.class),
    /** May verify. */
    VERIFY(Boolean.class),
    /** May wrap other keys. */
    WRAP(Boolean.class),
    /** May unwrap other keys. */
    UNWRAP(Boolean.class),
    /** May be the base of a derivation. */
    DERIVE(Boolean.class),
    /** Length in bits. */
    SIZE(Integer.class),
    /** Length of an RSA modulus in bits. */
    MODULUS_BITS(Integer.class),
    /** RSA public exponent, big-endian. */
    PUBLIC_EXPONENT(byte[].class),
    /** RSA modulus, big-endian. */
    MODULUS(byte[].class),
    /** RSA private exponent, big-endian. */
    PRIVATE_EXPONENT(byte[].class),
    /** First RSA prime, big-endian. */
    PRIME_P(byte[].class),
    /** Second RSA prime, big-endian. */
    PRIME_Q(byte[].class),
    /** First CRT exponent, big-endian. */
    PRIME_EXPONENT_P(byte[].class),
    /** Second CRT exponent, big-endian. */
    PRIME_EXPONENT_Q(byte[].class),
    /** CRT coefficient, big-endian. */
    CRT_COEFFICIENT(byte[].class),
    /** Curve: DER object identifier at generation, parameters at import. */
    EC_PARAMS(byte[].class, ECParameterSpec.class),
    /** Public point of a curve; of an Edwards curve the SubjectPublicKeyInfo in DER. */
    EC_POINT(ECPoint.class, byte[].class),
    /** Secret key bytes, or an EC private value, big-endian. */
    VALUE(byte[].class),
    /** Type of the key. */
    KEY_TYPE(KeyType.class),
    /** Class of the key. */
    OBJECT_CLASS(ObjectClassType.class),
    /** True for a key generated in the HSM; read-only. */
    LOCAL(Boolean.class);

    private final Class<?>[] types;

    KeyAttribute(Class<?>... types) {
        this.types = types;
    }

    /** Returns whether a value has a type that this attribute takes. */
    boolean takes(Object value) {
        for (Class<?> type : types) {
            if (type.isInstance(value)) {
                return true;
            }
        }
        return false;
    }

    /** Returns the first type that this attribute takes. */
    Class<?> type() {
        return types[0];
    }
}
