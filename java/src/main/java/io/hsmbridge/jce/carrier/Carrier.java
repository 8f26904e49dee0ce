package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import io.hsmbridge.jce.wire.Values;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;

/** Carries a request to the HSM and its response back. Safe for use by many threads. */
public abstract class Carrier {
    /** One exchange at a time with the HSM, with the buffer that the request is written to and the response read from. */
    public interface Link {
        /** Returns a buffer of at least this many bytes. */
        ByteBuffer buffer(int capacity);

        /** Sends the frame in the buffer and returns a buffer with the response at offset 0. */
        ByteBuffer exchange() throws IOException;
    }

    /** A response: status 0 and the results, or an error code and its message. */
    public record Response(int status, List<Object> results) {}

    /** Returns a link for the calling thread, which gives it back. */
    protected abstract Link acquire() throws IOException;

    /** Takes a link back; {@code broken} if its last exchange failed. */
    protected abstract void giveBack(Link link, boolean broken);

    /** Says where the requests go, for messages. */
    public abstract String describe();

    /**
     * Sends one request and waits for its response.
     *
     * @throws IOException if the HSM cannot be reached, or is lost on the way
     */
    public Response call(int operation, long session, Object... fields) throws IOException {
        int capacity = Frame.HEADER_LENGTH;
        for (Object field : fields) {
            capacity = Math.addExact(capacity, Values.size(field));
        }
        Link link = acquire();
        boolean broken = true;
        try {
            Frame.writeRequest(link.buffer(capacity), operation, session, fields);
            ByteBuffer answer = link.exchange();
            answer.clear().position(Frame.HEADER_LENGTH).limit(Frame.length(answer));
            Response response = new Response(Frame.status(answer), Values.readAll(answer));
            broken = false;
            return response;
        } finally {
            giveBack(link, broken);
        }
    }
}
