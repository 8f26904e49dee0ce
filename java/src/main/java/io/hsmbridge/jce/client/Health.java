package io.hsmbridge.jce.client;

import java.util.concurrent.TimeUnit;

/** Whether an HSM answers. After a failure it gets no requests for a time, which doubles with each further failure. */
final class Health {
    private static final long FIRST = TimeUnit.MILLISECONDS.toNanos(500);
    private static final long MOST = TimeUnit.SECONDS.toNanos(30);

    private boolean known;
    private boolean down;
    private long pause = FIRST;
    private long until;

    /** Returns whether the HSM has answered last, or has not been asked yet. */
    synchronized boolean isUp() {
        return !down;
    }

    /** Returns whether the HSM has answered or failed before. */
    synchronized boolean isKnown() {
        return known;
    }

    /** Returns whether the HSM may get a request now. One that has failed gets one request at a time for a try. */
    synchronized boolean takesRequests() {
        if (!down) {
            return true;
        }
        if (System.nanoTime() - until < 0) {
            return false;
        }
        until = System.nanoTime() + pause;
        return true;
    }

    /** Notes an answer, and returns whether the HSM had failed before. */
    synchronized boolean answered() {
        boolean returned = down;
        known = true;
        down = false;
        pause = FIRST;
        return returned;
    }

    /** Notes a failure. */
    synchronized void failed() {
        if (down) {
            pause = Math.min(2 * pause, MOST);
        }
        known = true;
        down = true;
        until = System.nanoTime() + pause;
    }
}
