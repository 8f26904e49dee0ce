package io.hsmbridge.jce.carrier;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** Checks the pool: it has a bound, passes a returned object to a waiting thread, and limits every wait. */
public final class PoolTest {
    private PoolTest() {}

    /** Runs the checks. */
    public static void main(String[] arguments) throws InterruptedException {
        List<Object> made = new ArrayList<>();
        Pool<Object> pool = new Pool<>(2, () -> {
            made.add(new Object());
            return made.get(made.size() - 1);
        });
        Object one = pool.take();
        Object two = pool.take();
        check(one != two && made.size() == 2, "as many as there may be");
        check(pool.take() == null, "no more, and no wait without end");
        pool.giveBack(two);
        check(pool.take() == two && made.size() == 2, "what was given back");

        CountDownLatch asked = new CountDownLatch(1);
        Object[] given = new Object[1];
        Thread waiting = new Thread(() -> {
            asked.countDown();
            do {
                given[0] = pool.take();
            } while (given[0] == null);
        });
        waiting.start();
        asked.await();
        pool.giveBack(one);
        waiting.join();
        check(given[0] == one, "given to the one that waits");

        Thread.currentThread().interrupt();
        check(pool.take() == null && Thread.interrupted(), "an interrupt ends the wait and is kept");
        pool.giveBack(one);
        List<Object> ended = new ArrayList<>();
        pool.close(ended::add);
        check(ended.equals(List.of(one)) && pool.take() == null, "closed");

        Pool<Object> failing = new Pool<>(1, () -> {
            throw new IllegalStateException("cannot be made");
        });
        for (int i = 0; i < 2; i++) {
            try {
                failing.take();
                check(false, "the maker's failure is the caller's");
            } catch (IllegalStateException expected) {
                check(expected.getMessage().equals("cannot be made"), "a failure takes no place");
            }
        }
        System.out.println("PoolTest passed");
    }

    private static void check(boolean right, String what) {
        if (!right) {
            throw new AssertionError(what);
        }
    }
}
