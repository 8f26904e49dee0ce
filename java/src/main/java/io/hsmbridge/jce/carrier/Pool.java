package io.hsmbridge.jce.carrier;

import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** A bounded number of things that cost too much to make for each use. Safe for use by many threads. */
final class Pool<T> {
    private final Supplier<T> maker;
    private final AtomicInteger unmade;
    private final ConcurrentLinkedDeque<T> idle = new ConcurrentLinkedDeque<>();

    Pool(int most, Supplier<T> maker) {
        this.maker = maker;
        unmade = new AtomicInteger(most);
    }

    /** Returns one that is not in use, and {@link #giveBack} must follow; null if all are. */
    T take() {
        T one = idle.pollFirst();
        if (one != null || unmade.getAndUpdate(count -> Math.max(0, count - 1)) == 0) {
            return one;
        }
        try {
            return one = maker.get();
        } finally {
            if (one == null) {
                unmade.incrementAndGet();
            }
        }
    }

    void giveBack(T one) {
        idle.offerFirst(one);
    }

    /** Makes no more, and gives what is not in use to {@code end}. */
    void close(Consumer<T> end) {
        unmade.set(0);
        for (T one = idle.pollFirst(); one != null; one = idle.pollFirst()) {
            end.accept(one);
        }
    }
}
