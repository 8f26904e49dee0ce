import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.hsmbridge.junit5.Hsm;
import io.hsmbridge.junit5.HsmTest;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;

@HsmTest
class ParallelTest {
    private static final Set<Path> IN_USE = ConcurrentHashMap.newKeySet();
    private static final Set<Path> EVER = ConcurrentHashMap.newKeySet();

    @RepeatedTest(12)
    void hasAnHsmToItself(Hsm hsm, RepetitionInfo repetition) throws Exception {
        assertTrue(IN_USE.add(hsm.socket()), "another test uses the HSM");
        EVER.add(hsm.socket());
        String label = "key" + repetition.getCurrentRepetition();
        Keys.make(hsm.provider(), label);
        Thread.sleep(50);
        assertEquals(List.of(label), Keys.labels(hsm.provider()));
        IN_USE.remove(hsm.socket());
    }

    @AfterAll
    static void several() {
        System.out.println("HSMs: " + EVER.size());
    }
}
