package io.hsmbridge.jce.client;

import io.hsmbridge.jce.carrier.Carrier.Span;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.util.Map;

/**
 * The constant part of an operation that repeats with other data. The HSM keeps it as a prepared operation.
 *
 * @param operation operation number of encrypt, decrypt, sign or verify
 * @param key a handle, or the DER encoding of a public key outside the HSM
 * @param mechanism name of the mechanism in the HSM
 * @param secret whether the key is a secret key, whose operations on short data take microseconds
 */
public record PreparedOperation(int operation, Object key, String mechanism, boolean secret) {
    private static final int SHORT = 16 * 1024;

    /** Returns the fields of the whole request; {@code first} is the IV, or the data to verify. */
    Object[] fields(byte[] first, Slice rest) {
        if (operation == Operation.VERIFY) {
            return new Object[] {key, mechanism, null, first, rest};
        }
        return new Object[] {key, mechanism, first.length == 0 ? null : Map.of("iv", first), rest};
    }

    Span span(Slice rest) {
        return secret && rest.length() <= SHORT ? Span.MICROSECONDS : Span.MILLISECONDS;
    }

    boolean hasHandle() {
        return key instanceof Long;
    }
}
