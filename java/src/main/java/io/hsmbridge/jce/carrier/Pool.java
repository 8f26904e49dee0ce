package io.hsmbridge.jce.carrier;

import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** A bounded number of objects that are too expensive to create for each operation. Safe for use by many threads. */
final class Pool<T> {
    /** Time limit for a free object, in milliseconds. */
    private static final long WAIT = 100;

    private final Supplier<T> factory;
    private final Semaphore free;
    private final ConcurrentLinkedDeque<T> idle = new ConcurrentLinkedDeque<>();
    private volatile boolean closed;

    Pool(int most, Supplier<T> factory) {
        this.factory = factory;
        free = new Semaphore(most);
    }

    /**
     * Returns a free object, which the caller returns with {@link #giveBack}; null if there is none within the time
     * limit.
     */
    T take() {
        if (closed || !permitted()) {
            return null;
        }
        T one = idle.pollFirst();
        try {
            return one != null ? one : (one = factory.get());
        } finally {
            if (one == null) {
                free.release();
            }
        }
    }

    /**
     * Waits a limited time: an exchange takes a millisecond, and exchanges with an HSM that hangs must not delay those
     * with another one.
     */
    private boolean permitted() {
        try {
            return free.tryAcquire(WAIT, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    void giveBack(T one) {
        idle.offerFirst(one);
        free.release();
    }

    /** Closes the pool: it creates no more objects, and passes the free ones to {@code end}. */
    void close(Consumer<T> end) {
        closed = true;
        for (T one = idle.pollFirst(); one != null; one = idle.pollFirst()) {
            end.accept(one);
        }
    }
}
