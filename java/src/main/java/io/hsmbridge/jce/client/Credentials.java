package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.AuthenticationStrategy;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;

/** A user name and the UTF-8 bytes of a password. {@link #close} wipes the password. */
public final class Credentials implements AutoCloseable {
    private static final String USER = "HSM_USER";
    private static final String PASSWORD = "HSM_PASSWORD";

    private final String user;
    private final byte[] password;

    private Credentials(String user, byte[] password) {
        this.user = user;
        this.password = password;
    }

    /** Returns the credentials in the system properties, else those in the environment, else null. */
    public static Credentials implicit() {
        Credentials found = of(System.getProperty(USER), System.getProperty(PASSWORD));
        return found != null ? found : of(System.getenv(USER), System.getenv(PASSWORD));
    }

    private static Credentials of(String user, String password) {
        return user == null || password == null
                ? null : new Credentials(user, password.getBytes(StandardCharsets.UTF_8));
    }

    /** Returns the credentials in {@code user:password}, split at the first colon; null if there is none. */
    public static Credentials parse(char[] pin) {
        for (int i = 0; i < pin.length; i++) {
            if (pin[i] == ':') {
                return new Credentials(new String(pin, 0, i), encode(pin, i + 1));
            }
        }
        return null;
    }

    /** Returns the credentials of a strategy and wipes the strategy's password. */
    public static Credentials of(AuthenticationStrategy strategy) {
        char[] password = strategy.getPassword();
        try {
            return new Credentials(strategy.getUsername(), encode(password, 0));
        } finally {
            Arrays.fill(password, '\0');
        }
    }

    /** Returns a copy, whose password is wiped separately. */
    Credentials copy() {
        return new Credentials(user, password.clone());
    }

    private static byte[] encode(char[] text, int from) {
        ByteBuffer encoded = StandardCharsets.UTF_8.encode(CharBuffer.wrap(text, from, text.length - from));
        byte[] bytes = new byte[encoded.remaining()];
        encoded.get(bytes);
        Arrays.fill(encoded.array(), (byte) 0);
        return bytes;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Credentials && user.equals(((Credentials) other).user)
                && MessageDigest.isEqual(password, ((Credentials) other).password);
    }

    @Override
    public int hashCode() {
        return user.hashCode();
    }

    String user() {
        return user;
    }

    byte[] password() {
        return password;
    }

    @Override
    public void close() {
        Arrays.fill(password, (byte) 0);
    }
}
