package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.exception.InternalException;
import io.hsmbridge.jce.carrier.Carrier;
import io.hsmbridge.jce.carrier.NoHsmException;
import io.hsmbridge.jce.log.Log;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The sessions of one provider instance at the HSMs of its cluster; often there is one HSM only.
 *
 * <p>A use of a token key goes to the HSM with the fewest requests in progress. If that HSM does not answer, another one
 * gets the request, if it is safe to repeat. Session keys and multi-part operations stay with the HSM that has them.
 * Everything else goes to one HSM, the home, as long as it answers. Safe for use by many threads.
 */
final class Cluster {
    private static final int NEEDED = 2;
    /** Time after which a client asks for the HSMs of the cluster again. */
    private static final long AGAIN = TimeUnit.SECONDS.toNanos(60);
    private static final String UNAVAILABLE =
            "Cannot perform the requested key operation as the key must be available on at least 2 HSMs";

    /** Replaced by a longer list when the cluster has got an HSM. */
    private volatile List<HsmSession> sessions;
    /** Addresses of the HSMs, as {@code host:port}. */
    private final Set<String> addresses = ConcurrentHashMap.newKeySet();
    private final Joining joining;
    private final boolean retries;
    private final boolean checksAvailability;
    private final Log log;
    private final AtomicInteger next = new AtomicInteger();
    /** The HSMs of session keys and of multi-part operations, by handle. */
    private final Map<Long, HsmSession> places = new ConcurrentHashMap<>();
    private volatile HsmSession home;
    /** Time of the next question for the HSMs of the cluster, as {@link System#nanoTime} tells it. */
    private volatile long due = System.nanoTime() + AGAIN;

    /** Makes the session at another HSM of the cluster, from its address. */
    interface Joining {
        HsmSession at(String address) throws IOException;
    }

    /** A request to one HSM. */
    private interface Request<T> {
        T to(HsmSession session) throws HsmException, IOException;
    }

    /**
     * Creates the sessions' cluster.
     *
     * @param sessions one session or more, by the address of their HSM
     * @param joining makes the sessions at HSMs that the cluster names later; null if it names none
     * @param retries whether requests that are safe to repeat go to another HSM after a failure
     * @param checksAvailability whether token keys are used only while two HSMs answer
     * @param log log of the provider
     */
    Cluster(Map<String, HsmSession> sessions, Joining joining, boolean retries, boolean checksAvailability, Log log) {
        this.sessions = List.copyOf(sessions.values());
        addresses.addAll(sessions.keySet());
        this.joining = joining;
        this.retries = retries;
        this.checksAvailability = checksAvailability;
        this.log = log;
        home = this.sessions.get(0);
    }

    boolean hasSeveral() {
        return sessions.size() > 1;
    }

    /** Returns whether other HSMs may get requests, now or when the cluster has named them. */
    boolean mayHaveSeveral() {
        return joining != null || hasSeveral();
    }

    boolean loggedIn() {
        for (HsmSession session : sessions) {
            if (session.loggedIn()) {
                return true;
            }
        }
        return false;
    }

    /** Logs in at the first HSM that answers; the others follow with their first request. */
    void login(Credentials credentials) throws HsmException, IOException {
        attempt(home, null, true, session -> {
            session.login(credentials);
            return null;
        });
        due = System.nanoTime();
        learnIfDue();
    }

    /** Asks for the HSMs of the cluster if the last answer is old. A failure leaves those that are known. */
    private void learnIfDue() {
        if (joining == null || System.nanoTime() - due < 0) {
            return;
        }
        due = System.nanoTime() + AGAIN;
        try {
            attempt(home, null, true, session -> {
                learn(session);
                return null;
            });
        } catch (IOException | HsmException e) {
            log.write(Log.Level.WARN, "the HSMs of the cluster are not known: " + e.getMessage());
        }
    }

    /** Notes which process an HSM is, and adds the HSMs that it names and the configuration does not. */
    private void learn(HsmSession session) throws HsmException, IOException {
        if (joining == null) {
            return;
        }
        Map<String, String> others = new LinkedHashMap<>();
        for (Object one : (List<?>) session.callWithoutLogin(Operation.CLUSTER_MEMBERS).get(0)) {
            Map<?, ?> member = (Map<?, ?>) one;
            String process = String.valueOf(member.get("process"));
            if (Boolean.TRUE.equals(member.get("own"))) {
                session.process(process);
            } else if (!addresses.contains(member.get("address"))) {
                others.put(String.valueOf(member.get("address")), process);
            }
        }
        for (Map.Entry<String, String> other : others.entrySet()) {
            // The configuration may have that HSM under another name, at which it was not asked yet.
            for (HsmSession known : sessions) {
                if (known.process() == null && known != session && known.health().takesRequests()) {
                    identify(known);
                }
            }
            join(other.getKey(), other.getValue());
        }
    }

    private void identify(HsmSession session) {
        try {
            for (Object one : (List<?>) session.callWithoutLogin(Operation.CLUSTER_MEMBERS).get(0)) {
                if (Boolean.TRUE.equals(((Map<?, ?>) one).get("own"))) {
                    session.process(String.valueOf(((Map<?, ?>) one).get("process")));
                }
            }
        } catch (IOException | HsmException e) {
            session.health().failed();
        }
    }

    private synchronized void join(String address, String process) throws IOException {
        for (HsmSession session : sessions) {
            if (process.equals(session.process())) {
                addresses.add(address);
                return;
            }
        }
        if (addresses.add(address)) {
            List<HsmSession> more = new ArrayList<>(sessions);
            more.add(joining.at(address));
            sessions = List.copyOf(more);
            log.write(Log.Level.INFO, "the cluster has another HSM at " + address);
        }
    }

    /** Logs out everywhere. The failure of one HSM does not keep the others. */
    void logout() throws IOException {
        places.clear();
        IOException failure = null;
        for (HsmSession session : sessions) {
            try {
                if (session.loggedIn() || !hasSeveral()) {
                    session.logout();
                }
            } catch (IOException e) {
                failure = e;
            }
        }
        if (failure != null && !hasSeveral()) {
            throw failure;
        }
    }

    /** Returns whether an HSM still has its session, and forgets ended ones. */
    boolean check() throws IOException {
        IOException failure = null;
        for (HsmSession session : sessions) {
            try {
                if (session.check()) {
                    return true;
                }
            } catch (IOException e) {
                failure = e;
            }
        }
        if (failure != null) {
            throw failure;
        }
        return false;
    }

    List<Object> callWithoutLogin(int operation, Object[] fields) throws HsmException, IOException {
        return attempt(home, null, true, session -> session.callWithoutLogin(operation, fields));
    }

    List<Object> call(int operation, Object[] fields) throws HsmException, IOException {
        learnIfDue();
        if (!hasSeveral() && !checksAvailability) {
            return sessions.get(0).call(operation, fields);
        }
        HsmSession place = placeOf(fields);
        if (checksAvailability && place == null && concernsTokenKey(operation, fields)) {
            requireAvailability(fields);
        }
        boolean spreads = Operation.usesKey(operation);
        RequestId id = RequestId.of(operation, retries);
        boolean repeatable = Operation.isSafeToRepeat(operation) || operation == Operation.BEGIN || id.identifies();
        try {
            return attempt(spreads ? null : home, place, repeatable, session -> {
                List<Object> answer = identified(session, id, operation, fields);
                note(operation, answer, session);
                return answer;
            });
        } catch (HsmException e) {
            if (e.code() == Errors.REPETITION_UNKNOWN && id.lost() != null) {
                throw id.lost();
            }
            throw e;
        } finally {
            if (operation == Operation.DESTROY_KEY || operation == Operation.FINISH || operation == Operation.ABORT) {
                places.remove(fields[0]);
            }
        }
    }

    private static List<Object> identified(HsmSession session, RequestId id, int operation, Object[] fields)
            throws HsmException, IOException {
        try {
            return session.call(id, operation, fields);
        } catch (IOException e) {
            if (!isUnsent(e)) {
                id.noteLoss(e);
            }
            throw e;
        }
    }

    /** Returns whether an HSM has surely not executed a request that has failed so. */
    private static boolean isUnsent(IOException failure) {
        return failure instanceof NoHsmException
                || failure instanceof HsmSession.UnreadyException && ((HsmSession.UnreadyException) failure).changedNothing();
    }

    Carrier.Repeated run(PreparedOperation operation, byte[] first, Slice rest) throws HsmException, IOException {
        learnIfDue();
        if (!hasSeveral() && !checksAvailability) {
            return sessions.get(0).run(operation, first, rest);
        }
        HsmSession place = operation.hasHandle() ? places.get((Long) operation.key()) : null;
        if (checksAvailability && place == null && operation.hasHandle()) {
            requireAvailability(operation.key());
        }
        return attempt(null, place, true, session -> session.run(operation, first, rest));
    }

    /**
     * Sends a request to an HSM, and to others if it fails and may be repeated.
     *
     * @param preferred the HSM that gets the request if it answers; null for the least busy one
     * @param only the only HSM that may get the request; null for any
     */
    private <T> T attempt(HsmSession preferred, HsmSession only, boolean repeatable, Request<T> request)
            throws HsmException, IOException {
        Set<HsmSession> tried = new HashSet<>();
        while (true) {
            HsmSession session = only != null ? only : chosen(preferred, tried);
            tried.add(session);
            session.outstanding().incrementAndGet();
            try {
                T result = request.to(session);
                answered(session);
                return result;
            } catch (IOException e) {
                failed(session, e);
                if (only != null || tried.size() == sessions.size() || !isUnsent(e) && !(repeatable && retries)) {
                    throw e;
                }
                log.write(Log.Level.WARN, "another HSM gets the request: " + e.getMessage());
            } finally {
                session.outstanding().decrementAndGet();
            }
        }
    }

    private void answered(HsmSession session) {
        if (session.health().answered()) {
            log.write(Log.Level.INFO, session.describe() + " answers again");
        }
    }

    private void failed(HsmSession session, IOException failure) {
        session.health().failed();
        session.process(null);
        if (session == home && hasSeveral()) {
            for (HsmSession other : sessions) {
                other.noteLoss();
                if (home == session && other != session && other.health().isUp()) {
                    home = other;
                }
            }
            log.write(Log.Level.WARN, session.describe() + " does not answer: " + failure.getMessage());
        }
    }

    /** Returns the HSM for a request: one that takes requests, else one that was not tried. */
    private HsmSession chosen(HsmSession preferred, Set<HsmSession> tried) {
        if (preferred != null && !tried.contains(preferred) && preferred.health().takesRequests()) {
            return preferred;
        }
        HsmSession best = null;
        HsmSession untried = null;
        int start = Math.floorMod(next.getAndIncrement(), sessions.size());
        for (int i = 0; i < sessions.size(); i++) {
            HsmSession one = sessions.get((start + i) % sessions.size());
            if (!tried.contains(one)) {
                untried = untried == null ? one : untried;
                if ((best == null || one.outstanding().get() < best.outstanding().get()) && one.health().takesRequests()) {
                    best = one;
                }
            }
        }
        return best != null ? best : untried;
    }

    /** Returns the HSM of a session key or multi-part operation in the fields, or null. */
    private HsmSession placeOf(Object[] fields) {
        for (Object field : fields) {
            HsmSession place = field instanceof Long ? places.get(field) : null;
            if (place != null) {
                return place;
            }
        }
        return null;
    }

    /** Remembers the HSM of new session keys and multi-part operations. */
    private void note(int operation, List<Object> results, HsmSession session) {
        if (operation == Operation.BEGIN) {
            places.put((Long) results.get(0), session);
        } else {
            for (Object result : results) {
                noteRecords(result, session);
            }
        }
    }

    private void noteRecords(Object result, HsmSession session) {
        if (result instanceof List) {
            for (Object one : (List<?>) result) {
                noteRecords(one, session);
            }
        } else if (result instanceof Map) {
            Map<?, ?> record = (Map<?, ?>) result;
            if (Boolean.FALSE.equals(record.get("TOKEN")) && record.get("HANDLE") instanceof Long) {
                places.put((Long) record.get("HANDLE"), session);
            }
        }
    }

    /** Returns whether a request uses a token key, or makes one. */
    private static boolean concernsTokenKey(int operation, Object[] fields) {
        if (operation == Operation.STORE_PERSIST) {
            return fields.length > 0 && !((Map<?, ?>) fields[0]).isEmpty();
        }
        for (Object field : fields) {
            if (field instanceof Map && Boolean.TRUE.equals(((Map<?, ?>) field).get("TOKEN"))
                    && operation != Operation.FIND_KEYS) {
                return true;
            }
        }
        return Operation.usesKey(operation) && fields.length > 0 && fields[0] instanceof Long
                && operation != Operation.RANDOM && (operation < Operation.UPDATE || operation > Operation.ABORT);
    }

    /**
     * Checks that two HSMs answer.
     *
     * @throws InternalException if they do not
     */
    private void requireAvailability(Object... fields) {
        Set<String> up = new HashSet<>();
        // The list grows when an HSM names another one.
        for (int i = 0; i < sessions.size(); i++) {
            HsmSession session = sessions.get(i);
            if (session.process() != null && session.health().isUp() || asks(session)) {
                up.add(session.process());
            }
        }
        if (up.size() >= NEEDED) {
            return;
        }
        Object key = fields.length > 0 && fields[0] instanceof Long ? String.format("0x%016x", fields[0]) : "of this request";
        log.write(Log.Level.ERROR, "Key " + key + " does not meet the availability requirements - The key must be available"
                + " on at least 2 HSMs before being used.");
        throw new InternalException(UNAVAILABLE);
    }

    private boolean asks(HsmSession session) {
        if (!session.health().takesRequests()) {
            return false;
        }
        try {
            learn(session);
            answered(session);
            return session.process() != null;
        } catch (IOException | HsmException e) {
            session.health().failed();
            return false;
        }
    }
}
