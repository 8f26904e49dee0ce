package io.hsmbridge.jce.carrier;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Turns at what takes microseconds and only so many threads can do at a time.
 *
 * <p>A thread that waits in the kernel is woken tens of microseconds late, and waking it costs the one before it more than
 * its own work. Waiting here is bounded: a thread that gets no turn goes on without, and queues in the kernel.
 */
final class Turn {
    private static final int SPINS = 100;
    private static final int YIELDS = 100;

    private final AtomicInteger free;

    /** Makes turns for that many threads at a time. */
    Turn(int atATime) {
        free = new AtomicInteger(atATime);
    }

    /** Waits for a turn; returns whether it was given, and then {@link #pass} must follow. */
    boolean take() {
        for (int i = 0; i < SPINS + YIELDS; i++) {
            int left = free.getAcquire();
            if (left > 0 && free.compareAndSet(left, left - 1)) {
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
        free.getAndIncrement();
    }
}
