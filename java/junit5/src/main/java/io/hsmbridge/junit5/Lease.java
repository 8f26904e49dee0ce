package io.hsmbridge.junit5;

import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.security.Security;
import java.util.List;
import javax.security.auth.login.LoginException;
import org.junit.jupiter.api.extension.ExtensionContext.Store.CloseableResource;

/** An HSM while a test, a class or a run has it. It is the JVM's {@code CloudHSM} for that time if {@code alone}. */
final class Lease implements CloseableResource {
    private static final String SOCKET = "hsmbridge.socket";

    private final Pool pool;
    private final List<String> options;
    private final Hsm hsm;
    private final boolean registered;
    private final String socketBefore = System.getProperty(SOCKET);

    Lease(Pool pool, List<String> options, boolean alone) {
        this.pool = pool;
        this.options = options;
        hsm = new Hsm(pool.take(options));
        registered = alone && Security.addProvider(hsm.provider()) > 0;
        if (registered) {
            System.setProperty(SOCKET, hsm.socket().toString());
        }
    }

    Hsm hsm() {
        return hsm;
    }

    @Override
    public void close() {
        if (registered) {
            Security.removeProvider(CloudHsmProvider.PROVIDER_NAME);
            if (socketBefore == null) {
                System.clearProperty(SOCKET);
            } else {
                System.setProperty(SOCKET, socketBefore);
            }
        }
        logout(hsm.provider());
        pool.giveBack(options, hsm.process());
    }

    private static void logout(CloudHsmProvider provider) {
        try {
            provider.logout();
        } catch (LoginException | RuntimeException e) {
            // Logged in by itself, or the test has ended the session or the HSM.
            return;
        }
    }
}
