import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.cloudhsm.jce.jni.exception.InternalException;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import io.hsmbridge.junit5.Hsm;
import io.hsmbridge.junit5.HsmTest;
import io.hsmbridge.junit5.HsmTest.Scope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

class ScopeTest {
    private static final Set<Path> SOCKETS = new HashSet<>();

    @Nested
    @HsmTest
    class OfATest {
        @BeforeEach
        void isEmpty(Hsm hsm) throws Exception {
            assertEquals(List.of(), Keys.labels(hsm.provider()));
            SOCKETS.add(hsm.socket());
        }

        @RepeatedTest(5)
        void hasItsOwnKeys(Hsm hsm) throws Exception {
            Keys.make(hsm.provider(), "mine");
            assertEquals(List.of("mine"), Keys.labels(hsm.provider()));
            assertEquals(1, SOCKETS.size(), "one process serves test after test");
        }

        @Test
        void isTheJvmsProvider(Hsm hsm) throws Exception {
            assertEquals(hsm.provider(), Security.getProvider("CloudHSM"));
            assertEquals(hsm.socket().toString(), System.getProperty("hsmbridge.socket"));
            Security.removeProvider("CloudHSM");
            CloudHsmProvider own = new CloudHsmProvider();
            own.login(null, callbacks -> ((javax.security.auth.callback.PasswordCallback) callbacks[0])
                    .setPassword((hsm.user() + ":" + hsm.password()).toCharArray()));
            Keys.make(own, "own");
            assertEquals(List.of("own"), Keys.labels(hsm.provider()));
        }

        @Test
        void hasFaults(Hsm hsm) throws Exception {
            long number = hsm.faults().add("throttling", Map.of("operation", "GENERATE_KEY", "count", "1"));
            assertThrows(InternalException.class, () -> Keys.make(hsm.provider(), "refused"));
            assertEquals(1, hsm.faults().hits(number));
            Keys.make(hsm.provider(), "made");
            hsm.faults().add("error", Map.of("error", "StoreFull"));
            hsm.faults().clear();
            Keys.make(hsm.provider(), "another");
        }

        @Test
        void resetsInTheMiddle(Hsm hsm) throws Exception {
            Keys.make(hsm.provider(), "before");
            long begun = System.nanoTime();
            hsm.reset();
            System.out.printf("reset and login: %.1f ms%n", (System.nanoTime() - begun) / 1e6);
            assertEquals(List.of(), Keys.labels(hsm.provider()));
            Keys.make(hsm.provider(), "after");
            assertTrue(Files.exists(hsm.home()));
        }
    }

    @Nested
    @HsmTest(scope = Scope.CLASS, options = "--strict-limits")
    class OfAClass {
        private static final Set<Path> OWN = new HashSet<>();

        @BeforeAll
        static void makes(Hsm hsm) throws Exception {
            Keys.make(hsm.provider(), "shared");
            OWN.add(hsm.socket());
        }

        @RepeatedTest(2)
        void keepsKeys(Hsm hsm) throws Exception {
            assertEquals(List.of("shared"), Keys.labels(hsm.provider()));
            assertTrue(OWN.contains(hsm.socket()));
        }

        @AfterAll
        static void stillThere(Hsm hsm) throws Exception {
            assertEquals(List.of("shared"), Keys.labels(hsm.provider()));
        }
    }

    @Test
    void leavesNoProviderBehind() {
        assertEquals(null, Security.getProvider("CloudHSM"));
        assertEquals(null, System.getProperty("hsmbridge.socket"));
    }
}
