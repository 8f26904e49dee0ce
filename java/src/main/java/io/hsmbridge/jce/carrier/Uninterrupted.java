package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Waits that an interrupt does not end. The HSM may be doing what the thread waits for, so that an interrupt must not take
 * its answer away; the thread finds the interrupt afterwards.
 */
public final class Uninterrupted {
    private Uninterrupted() {}

    /** A wait of at most so many nanoseconds, or less, which returns whether what it waited for has come. */
    interface Wait {
        boolean within(long nanoseconds) throws InterruptedException, IOException;
    }

    /** Waits that long. */
    public static void sleep(Duration time) throws IOException {
        wait(time, nanoseconds -> {
            TimeUnit.NANOSECONDS.sleep(nanoseconds);
            return true;
        });
    }

    /** Waits until it has come, and returns true, or until the time is over, and returns false. */
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
