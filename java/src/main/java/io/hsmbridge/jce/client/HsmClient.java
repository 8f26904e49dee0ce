package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException;
import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationExceptionCause;
import com.amazonaws.cloudhsm.jce.jni.exception.ProviderException;
import io.hsmbridge.jce.carrier.Carrier;
import io.hsmbridge.jce.carrier.NoHsmException;
import io.hsmbridge.jce.wire.Operation;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/** One login to the HSM, shared by every object of one provider instance. Safe for use by many threads. */
public final class HsmClient {
    private static final String CRYPTO_USER = "crypto-user";

    private final Carrier carrier;
    private final AtomicLong changes = new AtomicLong();
    private volatile long session;
    private volatile boolean implicit;

    /** Makes a client that is not logged in. */
    public HsmClient(Carrier carrier) {
        this.carrier = carrier;
    }

    /** Returns a number that differs after each request of this client that may change a key or a key store. */
    public long changes() {
        return changes.get();
    }

    /** Returns whether there is a session. */
    public boolean loggedIn() {
        return session != 0;
    }

    /** Returns whether the session came from the system properties or the environment. */
    public boolean loggedInImplicitly() {
        return implicit;
    }

    /**
     * Logs a crypto user in.
     *
     * @throws HsmException if the HSM refuses
     * @throws IOException if it does not answer
     */
    public synchronized void login(Credentials credentials, boolean asImplicit) throws HsmException, IOException {
        Carrier.Response response =
                carrier.call(Operation.LOGIN, 0, credentials.user(), credentials.password(), CRYPTO_USER);
        session = (Long) results(response).get(0);
        implicit = asImplicit;
    }

    /** Ends the session; its session keys are gone. */
    public synchronized void logout() {
        long ended = session;
        session = 0;
        implicit = false;
        try {
            carrier.call(Operation.LOGOUT, ended);
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /**
     * Sends a request and returns its results.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     * @throws AuthenticationException if nobody is logged in
     * @throws ProviderException if the HSM is not there
     */
    public List<Object> call(int operation, Object... fields) throws HsmException {
        long token = session;
        if (!Operation.onlyReads(operation)) {
            changes.incrementAndGet();
        }
        try {
            if (token == 0) {
                token = begin(0);
            }
            Carrier.Response response = carrier.call(operation, token, fields);
            if (response.status() == Errors.UNAUTHENTICATED && implicit) {
                response = carrier.call(operation, begin(token), fields);
            }
            return results(response);
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /** Sends a request whose one result is bytes. */
    public byte[] bytes(int operation, Object... fields) throws HsmException {
        return (byte[]) call(operation, fields).get(0);
    }

    /** Logs in with the implicit credentials, unless another thread has done so since {@code lost} was the session. */
    private synchronized long begin(long lost) throws HsmException, IOException {
        if (session != lost) {
            return session;
        }
        try (Credentials credentials = Credentials.implicit()) {
            if (credentials == null) {
                throw new AuthenticationException(
                        "Nobody is logged in: call login, or set HSM_USER and HSM_PASSWORD",
                        AuthenticationExceptionCause.UNAUTHENTICATED);
            }
            login(credentials, true);
            return session;
        }
    }

    private static List<Object> results(Carrier.Response response) throws HsmException {
        if (response.status() == 0) {
            return response.results();
        }
        String message = String.valueOf(response.results().isEmpty() ? "no message" : response.results().get(0));
        RuntimeException general = Errors.general(response.status(), message);
        if (general != null) {
            throw general;
        }
        throw new HsmException(response.status(), message);
    }

    private ProviderException lost(IOException e) {
        ProviderException exception = new ProviderException(e instanceof NoHsmException ? e.getMessage()
                : "The underlying Provider connection was lost: Communication with " + carrier.describe()
                        + " was lost during the execution of the function: " + e.getMessage());
        exception.initCause(e);
        return exception;
    }
}
