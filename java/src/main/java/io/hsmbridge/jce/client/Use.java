package io.hsmbridge.jce.client;

import io.hsmbridge.jce.carrier.Carrier.Span;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.util.Map;

/**
 * What stays the same when a key is used again with other data.
 *
 * @param operation encrypt, decrypt, sign or verify
 * @param key a handle, or the encoding of a public key that is not in the HSM
 * @param mechanism its name in the HSM
 * @param secret whether it is a secret key, with which uses of short data take microseconds
 */
public record Use(int operation, Object key, String mechanism, boolean secret) {
    private static final int SHORT = 16 * 1024;

    /** Returns the fields of the whole request; {@code first} is the IV, or to verify the data. */
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
