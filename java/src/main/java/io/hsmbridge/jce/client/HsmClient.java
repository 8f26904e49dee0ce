package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException;
import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationExceptionCause;
import com.amazonaws.cloudhsm.jce.jni.exception.ProviderException;
import io.hsmbridge.jce.carrier.Carrier;
import io.hsmbridge.jce.carrier.NoHsmException;
import io.hsmbridge.jce.carrier.Route;
import io.hsmbridge.jce.carrier.Uninterrupted;
import io.hsmbridge.jce.log.Log;
import io.hsmbridge.jce.settings.Settings;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** One login to the HSM, shared by all objects of one provider instance. Safe for use by many threads. */
public final class HsmClient {
    private static final String CRYPTO_USER = "crypto-user";
    /** Pauses before the repetitions of a request, in milliseconds. */
    private static final int[] RETRY_AFTER = {50, 250};
    /** Largest number of prepared operations to remember; one more clears them. */
    private static final int MOST_NUMBERS = 4096;
    private static final byte[] NONE = {};

    private final Carrier carrier;
    private final Settings settings;
    private final Log log;
    private final AtomicLong changes = new AtomicLong();
    private volatile Login login = new Login(0);
    private volatile boolean implicit;
    /** Whether a new session has replaced a lost one, whose session keys and operations are lost too. */
    private volatile boolean replaced;
    /** The timeout of the last login without an answer; null if there is none. */
    private SocketTimeoutException lastTimeout;
    private long timedOutAt;
    /**
     * Implicit credentials that the HSM has refused. Another login with them at each operation would lock the user out.
     */
    private Credentials refused;
    private String refusal;

    /** A session and the numbers of its prepared operations; a number is valid in one session only. */
    private static final class Login {
        private final long token;
        private final Map<PreparedOperation, Long> numbers;

        /** Creates the value of its parts. */
        Login(long token, Map<PreparedOperation, Long> numbers) {
            this.token = token;
            this.numbers = numbers;
        }

        Login(long token) {
            this(token, new ConcurrentHashMap<>());
        }
    }

    /**
     * Creates a client that is not logged in.
     *
     * @param settings settings of the provider
     * @param listed whether the JDK creates the provider from its list. The JDK silently tries the next provider if
     *     this one does not reach its HSM, so the JVM's log gets the reason.
     * @throws IOException if the settings have invalid values
     */
    public HsmClient(Settings settings, boolean listed) throws IOException {
        this.settings = settings;
        log = listed && settings.log() == null ? Log.ofFirstError() : Log.of(settings.log());
        carrier = Route.of(settings);
        log.write(Log.Level.INFO, "uses " + carrier.describe());
    }

    /** Returns a number that differs after each request of this client that may change a key. */
    public long changes() {
        return changes.get();
    }

    /** Returns whether the client has a session; the HSM may have ended it. */
    public boolean loggedIn() {
        return login.token != 0;
    }

    /** Returns whether the credentials of the session came from the system properties or the environment. */
    public boolean loggedInImplicitly() {
        return implicit;
    }

    /** Returns whether {@code init} of an engine checks the attributes of a key, rather than the HSM alone. */
    public boolean validatesAtInit() {
        return settings.validatesAtInit();
    }

    /** Returns whether the provider may ask for key material in the clear, which the HSM may still refuse. */
    public boolean asksForClearKeys() {
        return settings.clearExtraction();
    }

    /** Returns whether the configuration makes an optional service available. */
    public boolean offers(String option) {
        return option.equals("enable_ecdh_without_kdf") && settings.plainEcdh();
    }

    /**
     * Logs a crypto user in.
     *
     * @param credentials name and password of the user
     * @param asImplicit whether a lost session is replaced by a login with {@link Credentials#implicit}
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     * @throws IOException if the HSM does not answer
     */
    public synchronized void login(Credentials credentials, boolean asImplicit) throws HsmException, IOException {
        Carrier.Response response =
                carrier.call(Operation.LOGIN, 0, credentials.user(), credentials.password(), CRYPTO_USER);
        login = new Login((Long) results(Operation.LOGIN, response).get(0));
        changes.incrementAndGet();
        implicit = asImplicit;
        log.write(Log.Level.INFO, "user " + credentials.user() + " has logged in"
                + (asImplicit ? " with the credentials of the environment" : ""));
    }

    /**
     * Ends the session and destroys its session keys.
     *
     * @throws ProviderException if the HSM does not answer
     */
    public synchronized void logout() {
        long ended = login.token;
        login = new Login(0);
        implicit = false;
        changes.incrementAndGet();
        replaced = false;
        try {
            carrier.call(Operation.LOGOUT, ended);
            log.write(Log.Level.INFO, "the user has logged out");
        } catch (IOException e) {
            throw lost(e);
        } finally {
            carrier.closeIdle();
        }
    }

    /**
     * Returns whether the HSM still has the session, and forgets an ended one.
     *
     * @throws IOException if the HSM does not answer
     */
    public boolean hasSession() throws IOException {
        long token = login.token;
        if (token != 0 && send(Operation.RANDOM, token, new Object[] {1L}).status() == Errors.UNAUTHENTICATED) {
            forget(token);
        }
        return loggedIn();
    }

    /** Forgets a session that the HSM has ended, so that the application can log in again. */
    private synchronized void forget(long ended) {
        if (login.token == ended) {
            login = new Login(0);
            changes.incrementAndGet();
            log.write(Log.Level.WARN, "the session has ended, and its session keys are gone");
        }
    }

    /**
     * Sends a request and returns its results.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     * @throws AuthenticationException if no user is logged in
     * @throws ProviderException if the HSM does not answer
     */
    public List<Object> call(int operation, Object... fields) throws HsmException {
        if (!Operation.onlyReads(operation)) {
            changes.incrementAndGet();
        }
        return results(operation, request(operation, fields));
    }

    /**
     * Sends a request that needs no login and returns its results.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     * @throws ProviderException if the HSM does not answer
     */
    public List<Object> callWithoutLogin(int operation, Object... fields) throws HsmException {
        try {
            return results(operation, send(operation, 0, fields));
        } catch (IOException e) {
            throw lost(e);
        }
    }

    private Carrier.Response request(int operation, Object[] fields) throws HsmException {
        long token = login.token;
        try {
            if (token == 0) {
                token = begin(0);
            }
            Carrier.Response response = send(operation, token, fields);
            if (response.status() != Errors.UNAUTHENTICATED) {
                return response;
            }
            if (implicit) {
                return send(operation, begin(token), fields);
            }
            forget(token);
            return response;
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /**
     * Runs an operation on data, by its number if the HSM has prepared it in this session.
     *
     * @param operation the constant part of the request
     * @param first the IV, or the data to verify; empty if there is neither
     * @param rest the data, or the signature to verify
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     * @throws AuthenticationException if no user is logged in
     * @throws ProviderException if the HSM does not answer
     */
    public Carrier.Repeated run(PreparedOperation operation, byte[] first, Slice rest) throws HsmException {
        Login current = login;
        Long number = current.numbers.get(operation);
        if (number != null) {
            try {
                Carrier.Repeated repeated = carrier.repeat(current.token, number, operation.span(rest), first, rest);
                if (repeated != null) {
                    return repeated;
                }
            } catch (IOException e) {
                if (!settings.retries() || e instanceof SocketTimeoutException) {
                    throw lost(e);
                }
                log.write(Log.Level.WARN, "operation " + operation.operation() + " is repeated: " + e.getMessage());
            }
            current.numbers.remove(operation, number);
        }
        return runInFull(operation, first, rest);
    }

    private Carrier.Repeated runInFull(PreparedOperation operation, byte[] first, Slice rest) throws HsmException {
        Carrier.Response response = request(operation.operation(), operation.fields(first, rest));
        List<Object> results = results(operation.operation(), response);
        Login current = login;
        if (response.number() != 0 && operation.hasHandle() && response.session() == current.token) {
            if (current.numbers.size() >= MOST_NUMBERS) {
                current.numbers.clear();
            }
            current.numbers.put(operation, response.number());
        }
        byte[] chosen = results.size() > 1 && results.get(1) != null ? (byte[]) ((Map<?, ?>) results.get(1)).get("iv") : NONE;
        Object result = results.get(0);
        return new Carrier.Repeated(chosen, result instanceof Boolean ? truth((Boolean) result) : (byte[]) result);
    }

    /**
     * Returns whether a signature is valid.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     */
    public boolean verifies(PreparedOperation operation, byte[] data, Slice signature) throws HsmException {
        return run(operation, data, signature).result()[0] != 0;
    }

    private static byte[] truth(boolean value) {
        return new byte[] {(byte) (value ? 1 : 0)};
    }

    /**
     * Sends a request with a single result and returns its bytes.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     */
    public byte[] bytes(int operation, Object... fields) throws HsmException {
        return (byte[]) call(operation, fields).get(0);
    }

    private Carrier.Response send(int operation, long token, Object[] fields) throws IOException {
        int repeatable = settings.retries() && Operation.isSafeToRepeat(operation) ? RETRY_AFTER.length : 0;
        for (int repeated = 0; ; repeated++) {
            try {
                return carrier.call(operation, token, fields);
            } catch (SocketTimeoutException e) {
                // An HSM that has not answered within the limit is unlikely to answer a second request.
                throw e;
            } catch (IOException e) {
                if (repeated >= repeatable || repeated == 0 && e instanceof NoHsmException) {
                    throw e;
                }
                log.write(Log.Level.WARN, "operation " + operation + " is repeated: " + e.getMessage());
                Uninterrupted.sleep(Duration.ofMillis(RETRY_AFTER[repeated]));
            }
        }
    }

    /** Logs in with the implicit credentials, unless another thread has already replaced the session {@code lost}. */
    private long begin(long lost) throws IOException {
        return begin(lost, System.nanoTime());
    }

    private synchronized long begin(long lost, long asked) throws IOException {
        if (login.token != lost) {
            return login.token;
        }
        if (lastTimeout != null && timedOutAt - asked > 0) {
            // This thread has already waited the whole limit, for the thread that tried to log in.
            throw new SocketTimeoutException(lastTimeout.getMessage());
        }
        Credentials credentials = Credentials.implicit();
        if (credentials == null) {
            throw unauthenticated("Nobody is logged in: call login, or set HSM_USER and HSM_PASSWORD");
        }
        if (credentials.equals(refused)) {
            throw unauthenticated(refusal);
        }
        try (credentials) {
            login(credentials, true);
        } catch (HsmException e) {
            String message = Errors.login(e).getMessage();
            if (e.code() == Errors.AUTHENTICATION_FAILED) {
                refused = Credentials.implicit();
                refusal = message;
            }
            throw unauthenticated(message);
        } catch (SocketTimeoutException e) {
            lastTimeout = e;
            timedOutAt = System.nanoTime();
            throw e;
        }
        if (lost != 0) {
            replaced = true;
            log.write(Log.Level.WARN, "the session was lost, and its session keys are gone");
        }
        return login.token;
    }

    private AuthenticationException unauthenticated(String message) {
        log.write(Log.Level.ERROR, message);
        return new AuthenticationException(message, AuthenticationExceptionCause.UNAUTHENTICATED);
    }

    private List<Object> results(int operation, Carrier.Response response) throws HsmException {
        if (response.status() == 0) {
            if (log.writes(Log.Level.TRACE)) {
                log.write(Log.Level.TRACE, "operation " + operation + " done");
            }
            return response.results();
        }
        String message = String.valueOf(response.results().isEmpty() ? "no message" : response.results().get(0));
        if (replaced && Errors.isOfLostSession(response.status())) {
            message += " (The session was lost, and its session keys and operations with it; the provider has logged in again.)";
        }
        log.write(Log.Level.WARN, "operation " + operation + " refused with code " + response.status() + ": " + message);
        RuntimeException general = Errors.general(response.status(), message);
        if (general != null) {
            throw general;
        }
        throw new HsmException(response.status(), message);
    }

    private ProviderException lost(IOException e) {
        ProviderException exception = new ProviderException(e instanceof NoHsmException && !loggedIn() ? e.getMessage()
                : "The underlying Provider connection was lost: Communication with the device was lost during the execution"
                        + " of the function. (" + e.getMessage() + ")");
        exception.initCause(e);
        log.write(Log.Level.ERROR, exception.getMessage());
        return exception;
    }
}
