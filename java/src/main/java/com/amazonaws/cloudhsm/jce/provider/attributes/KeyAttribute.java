package com.amazonaws.cloudhsm.jce.provider.attributes;

import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;

/** Key attributes, with the Java types of their values. */
public enum KeyAttribute {
    /** Name of the key, up to 127 characters; several keys may have the same. */
    LABEL(String.class),
    /** Identifier that the application chooses; a string is encoded in UTF-8. */
    ID(byte[].class, String.class),
    /** True for a token key, false for a session key. */
    TOKEN(Boolean.class),
    /** True for a key that is visible only after a login. */
    PRIVATE(Boolean.class),
    /** Permits wrapping the key to take it out of the HSM. */
    EXTRACTABLE(Boolean.class),
    /** Restricts wrapping of the key to trusted wrapping keys; cannot change from true to false. */
    WRAP_WITH_TRUSTED(Boolean.class),
    /** Permits encryption. */
    ENCRYPT(Boolean.class),
    /** Permits decryption. */
    DECRYPT(Boolean.class),
    /** Permits signatures and MACs. */
    SIGN(Boolean.class),
    /** Permits verification. */
    VERIFY(Boolean.class),
    /** Permits wrapping other keys. */
    WRAP(Boolean.class),
    /** Permits unwrapping other keys. */
    UNWRAP(Boolean.class),
    /** Permits derivation of other keys from this one. */
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
    /** Curve: its object identifier in DER to generate a key, its parameters to import one. */
    EC_PARAMS(byte[].class, ECParameterSpec.class),
    /** Public point; for an Edwards curve the SubjectPublicKeyInfo in DER. */
    EC_POINT(ECPoint.class, byte[].class),
    /** Bytes of a secret key, or the private value of an EC key, big-endian. */
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
