package io.hsmbridge.jce.carrier;

import java.io.IOException;

/**
 * Marks the threads that are inside TLS of this provider's own connections. There the provider offers no services, so
 * that JSSE takes its algorithms from other providers, even if this one is the first in the JVM's list: the HSM cannot
 * serve the connection that leads to it.
 */
public final class OwnTls {
    private static final ThreadLocal<Boolean> ACTIVE = new ThreadLocal<>();

    private OwnTls() {}

    /** A step of TLS. */
    interface Step<T> {
        T run() throws IOException;
    }

    /** Returns whether this thread is inside TLS of a connection to an HSM. */
    public static boolean isActive() {
        return ACTIVE.get() != null;
    }

    /** Runs a step of TLS without this provider's services. */
    static <T> T run(Step<T> step) throws IOException {
        if (isActive()) {
            return step.run();
        }
        ACTIVE.set(Boolean.TRUE);
        try {
            return step.run();
        } finally {
            ACTIVE.remove();
        }
    }
}
