package com.amazonaws.cloudhsm.jce.provider.attributes;

/** Named curves as values of {@link KeyAttribute#EC_PARAMS}: DER object identifiers (SEC 2, RFC 5480). */
public final class EcParams {
    /** P-224, secp224r1. */
    public static final byte[] EC_CURVE_PRIME224 = {0x06, 0x05, 0x2b, (byte) 0x81, 0x04, 0x00, 0x21};
    /** P-256, secp256r1. */
    public static final byte[] EC_CURVE_PRIME256 = {
        0x06, 0x08, 0x2a, (byte) 0x86, 0x48, (byte) 0xce, 0x3d, 0x03, 0x01, 0x07
    };
    /** P-384, secp384r1. */
    public static final byte[] EC_CURVE_PRIME384 = {0x06, 0x05, 0x2b, (byte) 0x81, 0x04, 0x00, 0x22};
    /** P-521, secp521r1. */
    public static final byte[] EC_CURVE_PRIME521 = {0x06, 0x05, 0x2b, (byte) 0x81, 0x04, 0x00, 0x23};
    /** secp256k1. */
    public static final byte[] EC_CURVE_SECP256 = {0x06, 0x05, 0x2b, (byte) 0x81, 0x04, 0x00, 0x0a};

    private EcParams() {}
}
