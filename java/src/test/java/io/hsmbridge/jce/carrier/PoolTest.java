package io.hsmbridge.jce.carrier;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** Checks the pool: it has a bound, passes a returned object to a waiting thread, and limits every wait. */
public final class PoolTest {
    private PoolTest() {}

    /** Runs the checks. */
    public static void main(String[] arguments) throws InterruptedException {
        List<Object> created = new ArrayList<>();
        Pool<Object> pool = new Pool<>(2, () -> {
            created.add(new Object());
            return created.get(created.size() - 1);
        });
        Object one = pool.take();
        Object two = pool.take();
        check(one != two && created.size() == 2, "up to the bound");
        check(pool.take() == null, "none beyond the bound, after a limited wait");
        pool.giveBack(two);
        check(pool.take() == two && created.size() == 2, "a returned object");

        CountDownLatch asked = new CountDownLatch(1);
        Object[] received = new Object[1];
        Thread waiting = new Thread(() -> {
            asked.countDown();
            do {
                received[0] = pool.take();
            } while (received[0] == null);
        });
        waiting.start();
        asked.await();
        pool.giveBack(one);
        waiting.join();
        check(received[0] == one, "passed to the waiting thread");

        Thread.currentThread().interrupt();
        check(pool.take() == null && Thread.interrupted(), "an interrupt ends the wait and stays set");
        pool.giveBack(one);
        List<Object> ended = new ArrayList<>();
        pool.close(ended::add);
        check(ended.equals(List.of(one)) && pool.take() == null, "closed");

        Pool<Object> failing = new Pool<>(1, () -> {
            throw new IllegalStateException("cannot be created");
        });
        for (int i = 0; i < 2; i++) {
            try {
                failing.take();
                check(false, "a failure of the factory reaches the caller");
            } catch (IllegalStateException expected) {
                check(expected.getMessage().equals("cannot be created"), "a failure takes no place");
            }
        }
        System.out.println("PoolTest passed");
    }

    private static void check(boolean right, String behaviour) {
        if (!right) {
            throw new AssertionError(behaviour);
        }
    }
}
