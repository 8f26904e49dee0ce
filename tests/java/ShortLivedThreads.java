import java.security.SecureRandom;
import javax.crypto.Mac;

/** Uses the HSM from many threads that each live for one call. */
public final class ShortLivedThreads {
    private ShortLivedThreads() {
    }

    /** Runs {@code count} threads one after the other and lets the collector see that they are gone. */
    public static void run(Mac mac, int count) throws InterruptedException {
        byte[] data = new byte[16];
        for (int i = 0; i < count; i++) {
            Thread thread = new Thread(() -> mac.doFinal(data));
            thread.start();
            thread.join();
            if (i % 100 == 0) {
                System.gc();
            }
        }
        System.gc();
    }

    /** Returns a task that uses the HSM once. */
    public static Runnable drawing(SecureRandom random) {
        return () -> random.nextBytes(new byte[8]);
    }
}
