package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.settings.Times;
import io.hsmbridge.jce.wire.Frame;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values;
import java.io.IOException;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * The carrier to one daemon: a pool of connections, each used by one thread at a time. They close after the collection
 * of the carrier.
 */
final class Connections extends Carrier {
    /**
     * Largest number of connections of one provider. A daemon serves 256, and more threads than processors only wait.
     */
    private static final int MOST_LINKS = 64;
    /** Error code of a daemon that has reached its limit of connections. */
    private static final int OPERATION_LIMIT = 46;
    /** Number of further attempts to connect to such a daemon. */
    private static final int MORE_ATTEMPTS = 5;
    private static final Duration PAUSE = Duration.ofMillis(100);
    private static final Cleaner CLEANER = Cleaner.create();

    private final Endpoint endpoint;
    private final Duration limit;
    private final Semaphore places = new Semaphore(MOST_LINKS);
    private final IdleLinks idle;

    /** Creates a carrier, which connects at its first request. */
    Connections(Endpoint endpoint, Times times) {
        this.endpoint = endpoint;
        limit = times.answer();
        idle = new IdleLinks(times.idle());
        CLEANER.register(this, idle::end);
    }

    @Override
    protected <T> T exchange(int capacity, Span span, Request request, Reader<T> reader) throws IOException {
        try {
            return super.exchange(capacity, span, request, reader);
        } finally {
            // The cleaner must not close the connection that this thread is about to return.
            Reference.reachabilityFence(this);
        }
    }

    @Override
    protected Link acquire(int capacity) throws IOException {
        if (!places.tryAcquire()
                && !Uninterrupted.wait(limit, nanoseconds -> places.tryAcquire(nanoseconds, TimeUnit.NANOSECONDS))) {
            throw new SocketTimeoutException("all " + MOST_LINKS + " connections to " + describe() + " were busy for "
                    + SocketLink.seconds(limit));
        }
        SocketLink link = null;
        try {
            link = idle.take();
            if (link == null) {
                link = connect();
            }
            return link;
        } finally {
            if (link == null) {
                places.release();
            }
        }
    }

    /**
     * Returns a new connection. If the daemon is at its limit, the garbage collector first closes the connections of
     * providers that this JVM has dropped.
     */
    private SocketLink connect() throws IOException {
        for (int attempt = 0; ; attempt++) {
            try {
                return greeted();
            } catch (RefusedException e) {
                if (e.status != OPERATION_LIMIT || attempt == MORE_ATTEMPTS) {
                    throw e;
                }
            }
            System.gc();
            Uninterrupted.sleep(PAUSE);
        }
    }

    private SocketLink greeted() throws IOException {
        SocketLink link = endpoint.open(limit);
        boolean greeted = false;
        try {
            Object[] fields = {(long) Frame.VERSION, (long) Frame.VERSION, "java"};
            Frame.writeRequest(link.buffer(Frame.HEADER_LENGTH + 64), Operation.HELLO, 0, 0, fields);
            ByteBuffer answer = link.exchange(Span.UNKNOWN);
            int status = Frame.status(answer);
            if (status != 0) {
                answer.clear().position(Frame.HEADER_LENGTH).limit(Frame.length(answer));
                throw new RefusedException(status, describe() + " refused the connection: " + Values.readAll(answer).get(0));
            }
            greeted = true;
            return link;
        } finally {
            if (!greeted) {
                link.close();
            }
        }
    }

    @Override
    protected void giveBack(Link link, boolean broken) {
        SocketLink used = (SocketLink) link;
        if (broken || used.ended()) {
            used.close();
        } else {
            idle.add(used);
        }
        places.release();
    }

    @Override
    public void closeIdle() {
        idle.closeAll();
    }

    @Override
    public String describe() {
        return endpoint.describe();
    }

    /** Refusal of HELLO by the daemon. */
    private static final class RefusedException extends IOException {
        private static final long serialVersionUID = 1L;
        private final int status;

        RefusedException(int status, String message) {
            super(message);
            this.status = status;
        }
    }
}
