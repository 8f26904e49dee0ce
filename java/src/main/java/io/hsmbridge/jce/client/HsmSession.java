package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException;
import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationExceptionCause;
import io.hsmbridge.jce.carrier.Carrier;
import io.hsmbridge.jce.carrier.NoHsmException;
import io.hsmbridge.jce.carrier.Uninterrupted;
import io.hsmbridge.jce.log.Log;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/** The login of one provider instance at one HSM. Safe for use by many threads. */
final class HsmSession {
    private static final String CRYPTO_USER = "crypto-user";
    /** Pauses before the repetitions of a request, in milliseconds. */
    private static final int[] RETRY_AFTER = {50, 250};
    /** Largest number of prepared operations to remember; one more clears them. */
    private static final int MOST_NUMBERS = 4096;
    private static final byte[] NONE = {};

    private final Carrier carrier;
    private final boolean retries;
    private final Log log;
    private final AtomicLong changes;
    /** The credentials of a login that replaces a lost session; null for none. */
    private final Supplier<Credentials> renewal;
    private final AtomicInteger outstanding = new AtomicInteger();
    private final Health health = new Health();
    /** The number of the process at the other end; null if it is not known. */
    private volatile String process;
    private volatile Login login = new Login(0);
    /** Whether a new session has replaced a lost one, whose session keys and operations are lost too. */
    private volatile boolean replaced;
    /** The timeout of the last login without an answer; null if there is none. */
    private SocketTimeoutException lastTimeout;
    private long timedOutAt;
    /** Credentials that the HSM has refused. Another login with them at each operation would lock the user out. */
    private Credentials refused;
    private String refusal;

    /** A session and the numbers of its prepared operations; a number is valid in one session only. */
    private static final class Login {
        private final long token;
        private final Map<PreparedOperation, Long> numbers = new ConcurrentHashMap<>();

        Login(long token) {
            this.token = token;
        }
    }

    /**
     * Creates a session that is not logged in.
     *
     * @param carrier carrier to the HSM
     * @param retries whether requests that are safe to repeat are repeated after a connection is lost
     * @param log log of the provider
     * @param changes number to increment with each change of the session
     * @param renewal gives the credentials of a login that replaces a lost session, or null
     */
    HsmSession(Carrier carrier, boolean retries, Log log, AtomicLong changes, Supplier<Credentials> renewal) {
        this.carrier = carrier;
        this.retries = retries;
        this.log = log;
        this.changes = changes;
        this.renewal = renewal;
    }

    String describe() {
        return carrier.describe();
    }

    Health health() {
        return health;
    }

    /** Returns the number of requests without an answer yet. */
    AtomicInteger outstanding() {
        return outstanding;
    }

    /** Returns the number of the process that has the HSM, which is the same for all its addresses; null if not known. */
    String process() {
        return process;
    }

    void process(String number) {
        process = number;
    }

    boolean loggedIn() {
        return login.token != 0;
    }

    /** Logs a crypto user in. */
    synchronized void login(Credentials credentials) throws HsmException, IOException {
        Carrier.Response response =
                carrier.call(Operation.LOGIN, 0, credentials.user(), credentials.password(), CRYPTO_USER);
        login = new Login((Long) results(Operation.LOGIN, response).get(0));
        changes.incrementAndGet();
    }

    /** Ends the session and destroys its session keys. */
    synchronized void logout() throws IOException {
        long ended = login.token;
        login = new Login(0);
        changes.incrementAndGet();
        replaced = false;
        try {
            if (ended != 0) {
                carrier.call(Operation.LOGOUT, ended);
            }
        } finally {
            carrier.closeIdle();
        }
    }

    /** Returns whether the HSM still has the session, and forgets an ended one. */
    boolean check() throws IOException {
        long token = login.token;
        if (token != 0 && send(0, Operation.RANDOM, token, new Object[] {1L}).status() == Errors.UNAUTHENTICATED) {
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

    /** Notes that session keys of an HSM are lost, for the message about a missing key. */
    void noteLoss() {
        replaced = true;
    }

    /** Sends a request and returns its results. */
    List<Object> call(int operation, Object... fields) throws HsmException, IOException {
        return call(RequestId.of(operation, retries), operation, fields);
    }

    /** Sends a request with an id, by which several HSMs of a cluster know a change, and returns its results. */
    List<Object> call(RequestId id, int operation, Object... fields) throws HsmException, IOException {
        return results(operation, request(id.number(), operation, fields));
    }

    /** Sends a request that needs no login and returns its results. */
    List<Object> callWithoutLogin(int operation, Object... fields) throws HsmException, IOException {
        return results(operation, send(0, operation, 0, fields));
    }

    private Carrier.Response request(long id, int operation, Object[] fields) throws IOException {
        long token = login.token;
        if (token == 0) {
            token = begin(0);
        }
        Carrier.Response response = send(id, operation, token, fields);
        if (response.status() != Errors.UNAUTHENTICATED) {
            return response;
        }
        try (Credentials again = renewal.get()) {
            if (again != null) {
                return send(id, operation, begin(token), fields);
            }
        }
        forget(token);
        return response;
    }

    /** Runs an operation on data, by its number if the HSM has prepared it in this session. */
    Carrier.Repeated run(PreparedOperation operation, byte[] first, Slice rest) throws HsmException, IOException {
        Login current = login;
        Long number = current.numbers.get(operation);
        if (number != null) {
            try {
                Carrier.Repeated repeated = carrier.repeat(current.token, number, operation.span(rest), first, rest);
                if (repeated != null) {
                    return repeated;
                }
            } catch (IOException e) {
                if (!retries || e instanceof SocketTimeoutException) {
                    throw e;
                }
                log.write(Log.Level.WARN, "operation " + operation.operation() + " is repeated: " + e.getMessage());
            }
            current.numbers.remove(operation, number);
        }
        return runInFull(operation, first, rest);
    }

    private Carrier.Repeated runInFull(PreparedOperation operation, byte[] first, Slice rest)
            throws HsmException, IOException {
        Carrier.Response response = request(0, operation.operation(), operation.fields(first, rest));
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

    private static byte[] truth(boolean value) {
        return new byte[] {(byte) (value ? 1 : 0)};
    }

    private Carrier.Response send(long id, int operation, long token, Object[] fields) throws IOException {
        if (Operation.isChange(operation)) {
            return change(id, operation, token, fields);
        }
        int repeatable = retries && Operation.isSafeToRepeat(operation) ? RETRY_AFTER.length : 0;
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

    /**
     * Sends a change. If its answer is lost, the same request asks for it once more: the session remembers the id, so that
     * the change is not made twice. After the end of the session another HSM of the cluster may know the change's fate.
     */
    private Carrier.Response change(long id, int operation, long token, Object[] fields) throws IOException {
        try {
            return carrier.change(operation, id, token, fields);
        } catch (IOException e) {
            if (id == 0 || e instanceof NoHsmException || e instanceof SocketTimeoutException) {
                throw e;
            }
            log.write(Log.Level.WARN, "the answer to operation " + operation + " is lost, and asked for again: "
                    + e.getMessage());
            Uninterrupted.sleep(Duration.ofMillis(RETRY_AFTER[0]));
            Carrier.Response response = again(operation, id, token, fields, e);
            if (response.status() == Errors.UNAUTHENTICATED) {
                throw e;
            }
            return response;
        }
    }

    private Carrier.Response again(int operation, long id, long token, Object[] fields, IOException lost)
            throws IOException {
        try {
            return carrier.change(operation, id, token, fields);
        } catch (NoHsmException e) {
            // The first request may have been executed, so its failure counts.
            throw lost;
        }
    }

    /** Logs in again, unless another thread has already replaced the session {@code lost}. */
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
        Credentials credentials = renewal.get();
        if (credentials == null) {
            throw unauthenticated("Nobody is logged in: call login, or set HSM_USER and HSM_PASSWORD");
        }
        if (credentials.equals(refused)) {
            throw unauthenticated(refusal);
        }
        try (credentials) {
            login(credentials);
            log.write(Log.Level.INFO, "user " + credentials.user() + " has logged in at " + describe());
        } catch (HsmException e) {
            String message = Errors.login(e).getMessage();
            if (e.code() == Errors.AUTHENTICATION_FAILED) {
                refused = renewal.get();
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

    private List<Object> results(int operation, Carrier.Response response) throws HsmException, IOException {
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
        if (Errors.isOfUnreadyHsm(response.status())) {
            throw new UnreadyException(response.status(), message);
        }
        RuntimeException general = Errors.general(response.status(), message);
        if (general != null) {
            throw general;
        }
        throw new HsmException(response.status(), message);
    }

    /** Refusal by an HSM that is cut off from its cluster; another HSM may answer. */
    static final class UnreadyException extends IOException {
        private static final long serialVersionUID = 1L;
        private final int code;

        UnreadyException(int code, String message) {
            super(message);
            this.code = code;
        }

        /** Returns the error code of the protocol. */
        int code() {
            return code;
        }

        /** Returns whether the HSM has surely not executed the request. */
        boolean changedNothing() {
            return code == Errors.NOT_CAUGHT_UP;
        }
    }
}
