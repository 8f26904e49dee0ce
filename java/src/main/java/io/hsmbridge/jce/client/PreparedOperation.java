package io.hsmbridge.jce.client;

import io.hsmbridge.jce.carrier.Carrier.Span;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.util.Map;

/** The constant part of an operation that repeats with other data. The HSM keeps it as a prepared operation. */
public final class PreparedOperation {
    private static final int SHORT = 16 * 1024;

    private final int operation;
    private final Object key;
    private final String mechanism;
    private final boolean secret;

    /** Creates the value of its parts. */
    public PreparedOperation(int operation, Object key, String mechanism, boolean secret) {
        this.operation = operation;
        this.key = key;
        this.mechanism = mechanism;
        this.secret = secret;
    }

    /** Returns the operation number of encrypt, decrypt, sign or verify. */
    public int operation() {
        return operation;
    }

    /** Returns a handle, or the DER encoding of a public key outside the HSM. */
    public Object key() {
        return key;
    }

    /** Returns the name of the mechanism in the HSM. */
    public String mechanism() {
        return mechanism;
    }

    /** Returns whether the key is a secret key, whose operations on short data take microseconds. */
    public boolean secret() {
        return secret;
    }

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

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof PreparedOperation)) {
            return false;
        }
        PreparedOperation that = (PreparedOperation) other;
        return operation == that.operation && key.equals(that.key) && mechanism.equals(that.mechanism)
                && secret == that.secret;
    }

    @Override
    public int hashCode() {
        return 31 * (31 * operation + key.hashCode()) + mechanism.hashCode();
    }

    boolean hasHandle() {
        return key instanceof Long;
    }
}
