import com.amazonaws.cloudhsm.jce.jni.exception.AccountAlreadyLoggedInException;
import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException;
import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationExceptionCause;
import com.amazonaws.cloudhsm.jce.jni.exception.FailedLoginException;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.security.AuthProvider;
import java.security.Security;
import java.util.concurrent.Callable;
import javax.crypto.KeyGenerator;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.CallbackHandler;
import javax.security.auth.callback.NameCallback;
import javax.security.auth.callback.PasswordCallback;
import javax.security.auth.login.LoginException;

/** The three ways to log in: {@code explicit|properties|environment USER PASSWORD}; it ends quietly if all is as it should be. */
final class Logins {
    private Logins() {}

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "explicit":
                explicitly(arguments[1], arguments[2]);
                break;
            case "properties":
                System.setProperty("HSM_USER", arguments[1]);
                System.setProperty("HSM_PASSWORD", arguments[2]);
                implicitly();
                break;
            default:
                implicitly();
        }
    }

    private static void implicitly() throws Exception {
        AuthProvider provider = new CloudHsmProvider();
        Security.addProvider(provider);
        assert generate();
        thrown(IllegalStateException.class, () -> login(provider, "any:password-1"));
        thrown(LoginException.class, () -> logout(provider));
        assert generate();
    }

    private static void explicitly(String user, String password) throws Exception {
        AuthProvider provider = new CloudHsmProvider();
        Security.addProvider(provider);
        assertUnauthenticated();
        thrown(FailedLoginException.class, () -> login(provider, user + ":not-" + password));
        assertUnauthenticated();
        for (int round = 0; round < 2; round++) {
            login(provider, user + ":" + password);
            assert generate();
            thrown(AccountAlreadyLoggedInException.class, () -> login(provider, user + ":" + password));
            assert generate();
            logout(provider);
            assertUnauthenticated();
        }
        thrown(LoginException.class, () -> logout(provider));
    }

    private static boolean login(AuthProvider provider, String pin) throws LoginException {
        CallbackHandler handler = callbacks -> {
            for (Callback callback : callbacks) {
                assert !(callback instanceof NameCallback) : "the user's name is part of the PIN";
                if (callback instanceof PasswordCallback) {
                    ((PasswordCallback) callback).setPassword(pin.toCharArray());
                }
            }
        };
        provider.login(null, handler);
        return true;
    }

    private static boolean logout(AuthProvider provider) throws LoginException {
        provider.logout();
        return true;
    }

    private static boolean generate() throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance("AES", CloudHsmProvider.PROVIDER_NAME);
        generator.init(256);
        return generator.generateKey() != null;
    }

    private static void assertUnauthenticated() {
        AuthenticationException refused = thrown(AuthenticationException.class, Logins::generate);
        assert refused.getCloudHsmExceptionCause() == AuthenticationExceptionCause.UNAUTHENTICATED;
    }

    /** Returns what the call throws, which must be of that class. */
    static <T extends Throwable> T thrown(Class<T> expected, Callable<?> call) {
        try {
            call.call();
        } catch (Throwable e) {
            if (expected.isInstance(e)) {
                return expected.cast(e);
            }
            throw new AssertionError("expected " + expected, e);
        }
        throw new AssertionError("expected " + expected);
    }
}
