package io.hsmbridge.jce.carrier;

/**
 * Marks the threads that are inside TLS of this provider's own connections. There the provider offers no services, so
 * that JSSE takes its algorithms from other providers, even if this one is the first in the JVM's list: the HSM cannot
 * serve the connection that leads to it.
 */
public final class OwnTls {
    /** An array of the JDK, so that a thread that outlives the provider's class loader does not keep that. */
    private static final ThreadLocal<int[]> DEPTH = ThreadLocal.withInitial(OwnTls::outside);

    private OwnTls() {}

    private static int[] outside() {
        return new int[1];
    }

    /** Returns whether this thread is inside TLS of a connection to an HSM. */
    public static boolean isActive() {
        return DEPTH.get()[0] != 0;
    }

    /** Enters TLS; {@link #leave} must follow. */
    static void enter() {
        DEPTH.get()[0]++;
    }

    /** Leaves TLS. */
    static void leave() {
        DEPTH.get()[0]--;
    }
}
