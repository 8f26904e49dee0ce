package io.hsmbridge.jce.carrier;

import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** A bounded number of things that cost too much to make for each use. Safe for use by many threads. */
final class Pool<T> {
    /** How long to wait for one, in milliseconds. */
    private static final long PATIENCE = 100;

    private final Supplier<T> maker;
    private final Semaphore free;
    private final ConcurrentLinkedDeque<T> idle = new ConcurrentLinkedDeque<>();
    private volatile boolean closed;

    Pool(int most, Supplier<T> maker) {
        this.maker = maker;
        free = new Semaphore(most);
    }

    /** Waits a little for one that is not in use, and {@link #giveBack} must follow; null if there is none. */
    T take() {
        if (closed || !permitted()) {
            return null;
        }
        T one = idle.pollFirst();
        try {
            return one != null ? one : (one = maker.get());
        } finally {
            if (one == null) {
                free.release();
            }
        }
    }

    /** An exchange takes a millisecond; those of an HSM that hangs must not hold up what goes to another. */
    private boolean permitted() {
        try {
            return free.tryAcquire(PATIENCE, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    void giveBack(T one) {
        idle.offerFirst(one);
        free.release();
    }

    /** Makes no more, and gives what is not in use to {@code end}. */
    void close(Consumer<T> end) {
        closed = true;
        for (T one = idle.pollFirst(); one != null; one = idle.pollFirst()) {
            end.accept(one);
        }
    }
}
