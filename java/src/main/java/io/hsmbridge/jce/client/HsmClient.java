package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException;
import com.amazonaws.cloudhsm.jce.jni.exception.ProviderException;
import io.hsmbridge.jce.carrier.Carrier;
import io.hsmbridge.jce.carrier.NoHsmException;
import io.hsmbridge.jce.carrier.Route;
import io.hsmbridge.jce.log.Log;
import io.hsmbridge.jce.settings.Settings;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/**
 * One login to an HSM or to the HSMs of a cluster, shared by all objects of one provider instance. Safe for use by many
 * threads.
 */
public final class HsmClient {
    private final Settings settings;
    private final Log log;
    private final Cluster cluster;
    private final AtomicLong changes = new AtomicLong();
    /** Whether the application has logged in; else a login takes the credentials of the environment. */
    private volatile boolean explicit;
    /** Credentials of an explicit login to a cluster, for its HSMs that return; null if there is none. */
    private volatile Credentials kept;

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
        Map<String, HsmSession> sessions = new LinkedHashMap<>();
        Route route = Route.of(settings);
        for (Map.Entry<String, Carrier> one : route.carriers().entrySet()) {
            sessions.put(one.getKey(), session(one.getValue()));
        }
        cluster = new Cluster(sessions, route.isCluster() ? address -> session(route.to(address)) : null, settings.retries(),
                route.isCluster() && settings.checksAvailability(), log);
    }

    private HsmSession session(Carrier carrier) {
        log.write(Log.Level.INFO, "uses " + carrier.describe());
        return new HsmSession(carrier, settings.retries(), log, changes, this::renewal);
    }

    /** Returns the credentials of a login that replaces a lost session, or null. */
    private Credentials renewal() {
        Credentials again = kept;
        if (again != null) {
            return again.copy();
        }
        if (explicit && loggedIn()) {
            return null;
        }
        explicit = false;
        return Credentials.implicit();
    }

    /** Returns a number that differs after each request of this client that may change a key. */
    public long changes() {
        return changes.get();
    }

    /** Returns whether the client has a session; the HSM may have ended it. */
    public boolean loggedIn() {
        return cluster.loggedIn();
    }

    /** Returns whether the credentials of the session came from the system properties or the environment. */
    public boolean loggedInImplicitly() {
        return loggedIn() && !explicit;
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
        cluster.login(credentials);
        explicit = !asImplicit;
        kept = explicit && cluster.mayHaveSeveral() ? credentials.copy() : null;
        log.write(Log.Level.INFO, "user " + credentials.user() + " has logged in"
                + (asImplicit ? " with the credentials of the environment" : ""));
    }

    /**
     * Ends the session and destroys its session keys.
     *
     * @throws ProviderException if the HSM does not answer
     */
    public synchronized void logout() {
        explicit = false;
        if (kept != null) {
            kept.close();
            kept = null;
        }
        try {
            cluster.logout();
            log.write(Log.Level.INFO, "the user has logged out");
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /**
     * Returns whether the HSM still has the session, and forgets an ended one.
     *
     * @throws IOException if the HSM does not answer
     */
    public boolean hasSession() throws IOException {
        return cluster.check();
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
        try {
            return cluster.call(operation, fields);
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /**
     * Sends a request that needs no login and returns its results.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     * @throws ProviderException if the HSM does not answer
     */
    public List<Object> callWithoutLogin(int operation, Object... fields) throws HsmException {
        try {
            return cluster.callWithoutLogin(operation, fields);
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
        try {
            return cluster.run(operation, first, rest);
        } catch (IOException e) {
            throw lost(e);
        }
    }

    /**
     * Returns whether a signature is valid.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     */
    public boolean verifies(PreparedOperation operation, byte[] data, Slice signature) throws HsmException {
        return run(operation, data, signature).result()[0] != 0;
    }

    /**
     * Sends a request with a single result and returns its bytes.
     *
     * @throws HsmException if the HSM refuses, for a reason that depends on the engine's method
     */
    public byte[] bytes(int operation, Object... fields) throws HsmException {
        return (byte[]) call(operation, fields).get(0);
    }

    private ProviderException lost(IOException e) {
        String message = e.getMessage();
        if (!(e instanceof HsmSession.UnreadyException || e instanceof NoHsmException && !loggedIn())) {
            message = "The underlying Provider connection was lost: Communication with the device was lost during the execution"
                    + " of the function. (" + message + ")";
        }
        ProviderException exception = new ProviderException(message);
        exception.initCause(e);
        log.write(Log.Level.ERROR, exception.getMessage());
        return exception;
    }
}
