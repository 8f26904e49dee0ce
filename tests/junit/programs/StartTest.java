import static org.junit.jupiter.api.Assertions.assertEquals;

import io.hsmbridge.junit5.Hsm;
import io.hsmbridge.junit5.HsmTest;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.RepeatedTest;

/** Measures what a test waits for: the first HSM of the run, then the reset and the login between two tests. */
@HsmTest
class StartTest {
    private static final List<Double> MILLISECONDS = new ArrayList<>();
    private static long begun;

    @BeforeAll
    static void begins() {
        begun = System.nanoTime();
    }

    @AfterEach
    void ends() {
        begins();
    }

    @RepeatedTest(12)
    void hasAnHsm(Hsm hsm) throws Exception {
        MILLISECONDS.add((System.nanoTime() - begun) / 1e6);
        assertEquals(List.of(), Keys.labels(hsm.provider()));
        Keys.make(hsm.provider(), "mine");
    }

    @AfterAll
    static void prints() {
        List<Double> later = new ArrayList<>(MILLISECONDS.subList(1, MILLISECONDS.size()));
        later.sort(null);
        System.out.printf("first HSM: %.0f ms, reset: %.0f ms%n", MILLISECONDS.get(0), later.get(later.size() / 2));
    }
}
