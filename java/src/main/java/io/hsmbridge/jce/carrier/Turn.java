package io.hsmbridge.jce.carrier;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Limits the threads that run operations of microseconds at the same time.
 *
 * <p>The kernel wakes a waiting thread tens of microseconds late, and the wake-up costs the running thread more than
 * its own work. Waiting here is bounded: a thread without a permit goes on, and waits in the kernel.
 */
final class Turn {
    private static final int SPINS = 100;
    private static final int YIELDS = 100;

    private final AtomicInteger free;

    /** Creates permits for that many threads at a time. */
    Turn(int atATime) {
        free = new AtomicInteger(atATime);
    }

    /** Waits a limited time and returns whether the thread has a permit, which it must return with {@link #pass}. */
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

    /** Returns a permit. */
    void pass() {
        free.getAndIncrement();
    }
}
