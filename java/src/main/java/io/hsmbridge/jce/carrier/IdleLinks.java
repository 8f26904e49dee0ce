package io.hsmbridge.jce.carrier;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Connections that no thread uses, the last used first. All but one close after a rest; that one keeps the session. It holds
 * no reference to its carrier, with which the others end too. Safe for use by many threads.
 */
final class IdleLinks {
    private final ConcurrentLinkedDeque<SocketLink> links = new ConcurrentLinkedDeque<>();
    private final AtomicBoolean sweeping = new AtomicBoolean();
    private final Duration rest;
    private volatile boolean closed;

    /** Makes none; {@code rest} is how long a connection is kept for a thread that may come. */
    IdleLinks(Duration rest) {
        this.rest = rest;
    }

    /** Returns a connection that the daemon has not closed, or null. */
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
        link.rest();
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
            CompletableFuture.delayedExecutor(rest.toMillis(), TimeUnit.MILLISECONDS).execute(sweep(new WeakReference<>(this)));
        }
    }

    /** The JDK keeps the task until its time, and must not keep the connections of a provider that is gone. */
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
        while (oldest != null && !links.isEmpty() && oldest.hasRestedFor(rest)) {
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

    /** Closes those that there are. */
    void closeAll() {
        for (SocketLink link = links.pollFirst(); link != null; link = links.pollFirst()) {
            link.close();
        }
    }

    /** Closes those that there are and that come. */
    void end() {
        closed = true;
        closeAll();
    }
}
