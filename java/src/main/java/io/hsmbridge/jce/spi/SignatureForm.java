package io.hsmbridge.jce.spi;

import java.security.Key;
import java.security.SignatureException;
import java.security.interfaces.RSAKey;

/**
 * Checks the encoding of signatures. The JDK's providers throw an exception for a malformed signature, the HSM only
 * answers that it is wrong.
 */
final class SignatureForm {
    private static final int SEQUENCE = 0x30;
    private static final int INTEGER = 2;
    private static final int LONG_FORM = 0x80;

    private final byte[] bytes;
    private int at;

    private SignatureForm(byte[] bytes) {
        this.bytes = bytes;
    }

    /**
     * Checks the encoding of a signature.
     *
     * @throws SignatureException if an RSA signature has another length than the modulus, or an ECDSA signature is not
     *     DER
     */
    static void require(Row row, Key key, byte[] signature) throws SignatureException {
        if (key instanceof RSAKey) {
            int length = (((RSAKey) key).getModulus().bitLength() + 7) / 8;
            if (signature.length != length) {
                throw new SignatureException("The signature has " + signature.length + " bytes, not " + length);
            }
        }
        boolean isDer = "EC".equals(row.get("key")) && !row.algorithm().endsWith("inP1363Format");
        if (isDer && !new SignatureForm(signature).isTwoIntegers()) {
            throw new SignatureException("The signature is not a DER sequence of two integers");
        }
    }

    private boolean isTwoIntegers() {
        return next() == SEQUENCE && length() == bytes.length - at && isInteger() && isInteger() && at == bytes.length;
    }

    private boolean isInteger() {
        if (next() != INTEGER) {
            return false;
        }
        int length = length();
        if (length < 1 || length > bytes.length - at) {
            return false;
        }
        boolean isShortest = length == 1 || bytes[at] != 0 || bytes[at + 1] < 0;
        at += length;
        return isShortest;
    }

    /** Returns the next byte, or -1 at the end. */
    private int next() {
        return at < bytes.length ? bytes[at++] & 0xff : -1;
    }

    /** Returns a length in its shortest form, up to 255 bytes, or -1. */
    private int length() {
        int first = next();
        if (first < LONG_FORM) {
            return first;
        }
        int second = first == LONG_FORM + 1 ? next() : -1;
        return second >= LONG_FORM ? second : -1;
    }
}
