import io.hsmbridge.junit5.Hsm;
import io.hsmbridge.junit5.HsmTest;
import org.junit.jupiter.api.Test;

/** Waits to be killed; the program that runs it says so by a property. */
@HsmTest
class KilledTest {
    @Test
    void waits(Hsm hsm) throws Exception {
        System.out.println("home: " + hsm.home());
        System.out.flush();
        Thread.sleep(Long.getLong("wait", 0) * 1000);
    }
}
