package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Waits that an interrupt does not end. The HSM may be running the operation for which the thread waits, so the thread
 * gets the answer first and its interrupt status afterwards.
 */
public final class Uninterrupted {
    private Uninterrupted() {}

    /** A wait of at most that many nanoseconds, which returns whether the awaited event has happened. */
    interface Wait {
        boolean within(long nanoseconds) throws InterruptedException, IOException;
    }

    /**
     * Sleeps for that time; keeps the interrupt status.
     *
     * @throws IOException never; declared because a {@link Wait} may throw it
     */
    public static void sleep(Duration time) throws IOException {
        wait(time, nanoseconds -> {
            TimeUnit.NANOSECONDS.sleep(nanoseconds);
            return true;
        });
    }

    /** Returns true after the awaited event, or false after the time limit. */
    static boolean wait(Duration most, Wait wait) throws IOException {
        long end = System.nanoTime() + most.toNanos();
        boolean interrupted = false;
        try {
            for (long left = most.toNanos(); left > 0; left = end - System.nanoTime()) {
                try {
                    if (wait.within(left)) {
                        return true;
                    }
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            return false;
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
