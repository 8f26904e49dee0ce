package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import io.hsmbridge.jce.wire.Values;
import io.hsmbridge.jce.wire.WireException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;

/** Carries a request to the HSM and its response back. Safe for use by many threads. */
public abstract class Carrier {
    /** Length of the buffer that a link has of its own, in bytes. */
    protected static final int BUFFER_LENGTH = 64 * 1024;
    /** Length of a buffer for a piece of data that comes in parts, 1 MiB, and what is sent with it, in bytes. */
    protected static final int LARGE_BUFFER_LENGTH = 1024 * 1024 + BUFFER_LENGTH;
    /** How many large buffers there are at most: only so many threads run at a time. */
    protected static final int LARGE_BUFFERS = Math.max(2, Runtime.getRuntime().availableProcessors());
    /** What an answer may have besides the data of its request, in bytes: header, IV, tag, padding. */
    protected static final int ANSWER_HEADROOM = 128;

    /** About how long the HSM takes over a request; to wake a thread that waits takes tens of microseconds. */
    public enum Span { MICROSECONDS, MILLISECONDS, UNKNOWN }

    /** One exchange at a time with the HSM, with the buffer that the request is written to and the response read from. */
    public interface Link {
        /** Returns a buffer of at least this many bytes. */
        ByteBuffer buffer(int capacity);

        /** Sends the frame in the buffer and returns a buffer with the response at offset 0. */
        ByteBuffer exchange(Span span) throws IOException;
    }

    /**
     * A response: status 0 and the results, or an error code and its message. {@code number} repeats the request with
     * other data in the same session, unless it is 0.
     */
    public record Response(int status, long session, long number, List<Object> results) {}

    /** The result of a repeated use, and the parameter that the HSM chose; empty if it chose none. */
    public record Repeated(byte[] chosen, byte[] result) {}

    /** Writes a request at offset 0 of a buffer, and sets position and limit to its ends. */
    protected interface Request {
        void write(ByteBuffer out);
    }

    /** Takes what it needs from a response at offset 0 of a buffer. */
    protected interface Reader<T> {
        T read(ByteBuffer answer) throws IOException;
    }

    /** Returns a link for a request of that many bytes to the calling thread, which gives it back. */
    protected abstract Link acquire(int capacity) throws IOException;

    /** Takes a link back; {@code broken} if its last exchange failed. */
    protected abstract void giveBack(Link link, boolean broken);

    /** Closes what waits for later requests; these connect again. */
    public void rest() {}

    /** Says where the requests go, for messages. */
    public abstract String describe();

    /**
     * Sends one request and waits for its response.
     *
     * @throws IOException if the HSM cannot be reached, or is lost on the way
     */
    public final Response call(int operation, long session, Object... fields) throws IOException {
        int capacity = Frame.HEADER_LENGTH;
        for (Object field : fields) {
            capacity = Math.addExact(capacity, Values.size(field));
        }
        return exchange(capacity, Span.UNKNOWN, out -> Frame.writeRequest(out, operation, session, fields), Carrier::response);
    }

    /**
     * Repeats a use by its number, with data in two parts; null if the whole request is to be sent.
     *
     * @throws IOException if the HSM cannot be reached, or is lost on the way
     */
    public final Repeated repeat(long session, long number, Span span, byte[] first, Values.Slice rest)
            throws IOException {
        int capacity = Math.addExact(Frame.HEADER_LENGTH + Frame.REPEAT_LENGTH + first.length, rest.length());
        return exchange(capacity, span, out -> Frame.writeRepeat(out, session, number, first, rest), Carrier::repeated);
    }

    /** Does one exchange, with a buffer of at least that many bytes for the request. */
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
