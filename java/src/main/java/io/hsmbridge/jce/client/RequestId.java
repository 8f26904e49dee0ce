package io.hsmbridge.jce.client;

import io.hsmbridge.jce.wire.Operation;
import java.io.IOException;
import java.util.concurrent.ThreadLocalRandom;

/** The id of one request, by which the HSMs of a cluster know a change whose answer was lost. See {@code bridge/PROTOCOL.md}. */
final class RequestId {
    private static final long UNIQUE = 1L << 62;
    private static final long REPEATED = 1L << 61;

    private final long id;
    private IOException lost;

    private RequestId(long id) {
        this.id = id;
    }

    /** Returns the id of a new request; a request that is no change, or that is not repeated, has none. */
    static RequestId of(int operation, boolean retries) {
        boolean identifies = retries && Operation.isChange(operation);
        return new RequestId(identifies ? ThreadLocalRandom.current().nextLong() & REPEATED - 1 | UNIQUE : 0);
    }

    /** Returns whether another HSM may get the request after the loss of an answer. */
    boolean identifies() {
        return id != 0;
    }

    /** Notes that an HSM may have executed the request. */
    void noteLoss(IOException failure) {
        if (lost == null) {
            lost = failure;
        }
    }

    /** Returns the first failure after which an HSM may have executed the request; null if there is none. */
    IOException lost() {
        return lost;
    }

    /** Returns the id to send. */
    long number() {
        return id != 0 && lost != null ? id | REPEATED : id;
    }
}
