package io.hsmbridge.jce.carrier;

import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** A bounded number of things that cost too much to make for each use. Safe for use by many threads. */
final class Pool<T> {
    private final Supplier<T> maker;
    private final Semaphore free;
    private final ConcurrentLinkedDeque<T> idle = new ConcurrentLinkedDeque<>();
    private volatile boolean closed;

    Pool(int most, Supplier<T> maker) {
        this.maker = maker;
        free = new Semaphore(most);
    }

    /** Waits for one that is not in use, and {@link #giveBack} must follow; null if there are to be no more. */
    T take() {
        if (closed) {
            return null;
        }
        free.acquireUninterruptibly();
        T one = idle.pollFirst();
        try {
            return one != null ? one : (one = maker.get());
        } finally {
            if (one == null) {
                free.release();
            }
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
