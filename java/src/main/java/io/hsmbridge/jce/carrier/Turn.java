package io.hsmbridge.jce.carrier;

import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Turns at what takes some microseconds and only one thread can do at a time.
 *
 * <p>A thread that waits in the kernel is woken tens of microseconds late, and waking it costs the one before it more than
 * its own work. Waiting here is bounded: a thread that gets no turn goes on without, and queues in the kernel.
 */
final class Turn {
    private static final int SPINS = 100;
    private static final int YIELDS = 100;

    private final AtomicBoolean taken = new AtomicBoolean();

    /** Waits for a turn; returns whether it was given, and then {@link #pass} must follow. */
    boolean take() {
        for (int i = 0; i < SPINS + YIELDS; i++) {
            if (!taken.getAcquire() && taken.compareAndSet(false, true)) {
                return true;
            }
            if (i < SPINS) {
                Thread.onSpinWait();
            } else {
                Thread.yield();
            }
        }
        return false;
    }

    /** Lets the next thread. */
    void pass() {
        taken.setRelease(false);
    }
}
