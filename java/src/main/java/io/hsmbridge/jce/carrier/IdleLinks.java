package io.hsmbridge.jce.carrier;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Idle connections; the most recently used one is taken first. After an idle time all but one close, and that one keeps
 * the session. The object holds no reference to its carrier, whose collection closes all of them. Safe for use by many
 * threads.
 */
final class IdleLinks {
    private final ConcurrentLinkedDeque<SocketLink> links = new ConcurrentLinkedDeque<>();
    private final AtomicBoolean sweeping = new AtomicBoolean();
    private final Duration limit;
    private volatile boolean closed;

    /**
     * Creates an empty set.
     *
     * @param limit time for which an idle connection stays open
     */
    IdleLinks(Duration limit) {
        this.limit = limit;
    }

    /** Returns an idle connection that the daemon has not closed, or null. */
    SocketLink take() {
        for (SocketLink link = links.pollFirst(); link != null; link = links.pollFirst()) {
            if (link.alive()) {
                return link;
            }
            link.close();
        }
        return null;
    }

    /** Keeps a connection for the next thread. */
    void add(SocketLink link) {
        link.becomeIdle();
        boolean isOnly = links.isEmpty();
        links.offerFirst(link);
        if (closed) {
            closeAll();
        } else if (!isOnly) {
            sweepLater();
        }
    }

    private void sweepLater() {
        if (sweeping.compareAndSet(false, true)) {
            CompletableFuture.delayedExecutor(limit.toMillis(), TimeUnit.MILLISECONDS)
                    .execute(sweep(new WeakReference<>(this)));
        }
    }

    /**
     * Returns a task that holds no reference to the connections: the JDK keeps it until its time, even after their
     * provider is collected.
     */
    private static Runnable sweep(WeakReference<IdleLinks> idle) {
        return () -> {
            IdleLinks links = idle.get();
            if (links != null) {
                links.sweep();
            }
        };
    }

    private void sweep() {
        sweeping.set(false);
        SocketLink oldest = links.pollLast();
        while (oldest != null && !links.isEmpty() && oldest.isIdleFor(limit)) {
            oldest.close();
            oldest = links.pollLast();
        }
        if (oldest == null) {
            return;
        }
        boolean isOnly = links.isEmpty();
        links.offerLast(oldest);
        if (!isOnly) {
            sweepLater();
        }
    }

    /** Closes the idle connections. */
    void closeAll() {
        for (SocketLink link = links.pollFirst(); link != null; link = links.pollFirst()) {
            link.close();
        }
    }

    /** Closes the idle connections, and those that become idle later. */
    void end() {
        closed = true;
        closeAll();
    }
}
