package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;

/** The bytes of one connection. No method waits. */
interface Stream {
    /** A wait for a channel's readiness, with a time limit. */
    interface Readiness {
        void await(int operation) throws IOException;
    }

    /** Returns the channel, for a selector. */
    SocketChannel channel();

    /**
     * Reads into the buffer, as many bytes as are there. Only after it has returned 0, the channel's readiness tells
     * whether there is more.
     *
     * @return the number of bytes; -1 at the end
     */
    int read(ByteBuffer buffer) throws IOException;

    /**
     * Writes bytes of the buffer.
     *
     * @return whether everything has been written; if not, the caller waits until the channel is ready
     */
    boolean write(ByteBuffer buffer) throws IOException;

    /** Closes the connection. */
    void close() throws IOException;
}
