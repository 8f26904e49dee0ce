package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import io.hsmbridge.jce.wire.Values;
import io.hsmbridge.jce.wire.WireException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;

/** Sends requests to the HSM and receives the responses. Safe for use by many threads. */
public abstract class Carrier {
    /** Length of a link's own buffer, in bytes. */
    protected static final int BUFFER_LENGTH = 64 * 1024;
    /** Length of a buffer for a piece of 1 MiB of a longer message and its other fields, in bytes. */
    protected static final int LARGE_BUFFER_LENGTH = 1024 * 1024 + BUFFER_LENGTH;
    /** Largest number of large buffers: no more threads run at the same time. */
    protected static final int LARGE_BUFFERS = Math.max(2, Runtime.getRuntime().availableProcessors());
    /** Largest length of an answer beyond the data of its request, in bytes: header, IV, tag, padding. */
    protected static final int ANSWER_HEADROOM = 128;

    /**
     * Order of magnitude of the time that the HSM takes for a request. The wake-up of a waiting thread takes tens of
     * microseconds.
     */
    public enum Span { MICROSECONDS, MILLISECONDS, UNKNOWN }

    /** A connection for one exchange at a time, with the buffer for request and response. */
    public interface Link {
        /** Returns a buffer of at least this many bytes. */
        ByteBuffer buffer(int capacity);

        /**
         * Sends the frame in the buffer and returns a buffer with the response at offset 0.
         *
         * @throws IOException if the HSM does not answer
         */
        ByteBuffer exchange(Span span) throws IOException;
    }

    /** A response of the HSM. */
    public static final class Response {
        private final int status;
        private final long session;
        private final long number;
        private final List<Object> results;

        /** Creates the value of its parts. */
        public Response(int status, long session, long number, List<Object> results) {
            this.status = status;
            this.session = session;
            this.number = number;
            this.results = results;
        }

        /** Returns the status: 0, or an error code. */
        public int status() {
            return status;
        }

        /** Returns the session token. */
        public long session() {
            return session;
        }

        /** Returns the number of a prepared operation for REPEAT, or 0. */
        public long number() {
            return number;
        }

        /** Returns the results, or the message of the error. */
        public List<Object> results() {
            return results;
        }
    }

    /** The result of a repeated request, and the parameter that the HSM chose; empty if it chose none. */
    public static final class Repeated {
        private final byte[] chosen;
        private final byte[] result;

        /** Creates the value of its parts. */
        public Repeated(byte[] chosen, byte[] result) {
            this.chosen = chosen;
            this.result = result;
        }

        /** Returns the parameter that the HSM chose; empty if it chose none. */
        public byte[] chosen() {
            return chosen;
        }

        /** Returns the result. */
        public byte[] result() {
            return result;
        }
    }

    /** Writes a request at offset 0 of a buffer, and sets position and limit to its ends. */
    protected interface Request {
        void write(ByteBuffer out);
    }

    /** Reads a response at offset 0 of a buffer. */
    protected interface Reader<T> {
        T read(ByteBuffer answer) throws IOException;
    }

    /**
     * Returns a link for a request of that many bytes; the calling thread returns it with {@link #giveBack}.
     *
     * @throws IOException if the HSM cannot be reached
     */
    protected abstract Link acquire(int capacity) throws IOException;

    /** Returns a link to the carrier; {@code broken} if its last exchange failed. */
    protected abstract void giveBack(Link link, boolean broken);

    /** Closes idle connections; later requests connect again. */
    public void closeIdle() {}

    /** Returns the destination of the requests, for messages. */
    public abstract String describe();

    /**
     * Sends one request and returns its response.
     *
     * @throws IOException if the HSM cannot be reached, or the connection is lost
     */
    public final Response call(int operation, long session, Object... fields) throws IOException {
        return change(operation, 0, session, fields);
    }

    /**
     * Sends one request that changes something and returns its response.
     *
     * @param id an id that no other request has, by which the HSM recognises the same request; 0 for none
     * @throws IOException if the HSM cannot be reached, or the connection is lost
     */
    public final Response change(int operation, long id, long session, Object... fields) throws IOException {
        int capacity = Frame.HEADER_LENGTH;
        for (Object field : fields) {
            capacity = Math.addExact(capacity, Values.size(field));
        }
        return exchange(capacity, Span.UNKNOWN, out -> Frame.writeRequest(out, operation, id, session, fields), Carrier::response);
    }

    /**
     * Sends a repeated request and returns its result; null if the caller must send the whole request.
     *
     * @param number the number of a prepared operation of the session
     * @param first the IV, or the data to verify
     * @param rest the data, or the signature to verify
     * @throws IOException if the HSM cannot be reached, or the connection is lost
     */
    public final Repeated repeat(long session, long number, Span span, byte[] first, Values.Slice rest)
            throws IOException {
        int capacity = Math.addExact(Frame.HEADER_LENGTH + Frame.REPEAT_LENGTH + first.length, rest.length());
        return exchange(capacity, span, out -> Frame.writeRepeat(out, session, number, first, rest), Carrier::repeated);
    }

    /**
     * Runs one exchange with a buffer of at least that many bytes for the request.
     *
     * @throws IOException if the HSM cannot be reached, or the connection is lost
     */
    protected <T> T exchange(int capacity, Span span, Request request, Reader<T> reader) throws IOException {
        Link link = acquire(capacity);
        boolean broken = true;
        try {
            request.write(link.buffer(capacity));
            ByteBuffer answer = link.exchange(span);
            answer.clear().position(Frame.HEADER_LENGTH).limit(Frame.length(answer));
            T result = reader.read(answer);
            broken = false;
            return result;
        } finally {
            giveBack(link, broken);
        }
    }

    private static Response response(ByteBuffer answer) throws WireException {
        return new Response(Frame.status(answer), Frame.session(answer), Frame.id(answer), Values.readAll(answer));
    }

    private static Repeated repeated(ByteBuffer answer) throws WireException {
        if (Frame.status(answer) != 0) {
            return null;
        }
        byte[] chosen = new byte[answer.hasRemaining() ? answer.get() : 0];
        if (chosen.length > answer.remaining()) {
            throw new WireException("A parameter is longer than its frame");
        }
        answer.get(chosen);
        byte[] result = new byte[answer.remaining()];
        answer.get(result);
        return new Repeated(chosen, result);
    }
}
