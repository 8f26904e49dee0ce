package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * One connection to a daemon. Its channel is non-blocking, because an interrupt of a thread closes a blocking channel.
 * The thread waits at a selector instead, and each wait has a limit.
 */
final class SocketLink implements Carrier.Link {
    /** Idle time after which the link checks that the daemon has not closed the connection, in nanoseconds. */
    private static final long UNCHECKED_IDLE = 50_000_000L;
    private static final Pool<ByteBuffer> LARGE =
            new Pool<>(Carrier.LARGE_BUFFERS, () -> ByteBuffer.allocateDirect(Carrier.LARGE_BUFFER_LENGTH));

    private final Stream stream;
    private final Selector selector;
    private final SelectionKey key;
    private final String peer;
    private Duration limit;
    private final ByteBuffer own = ByteBuffer.allocateDirect(Carrier.BUFFER_LENGTH);
    private ByteBuffer buffer = own;
    private ByteBuffer borrowed;
    private long idleSince;
    private boolean ended;

    /**
     * Creates a link over a stream, whose channel is non-blocking.
     *
     * @param peer name of the daemon in messages
     * @param limit time limit for each wait
     */
    SocketLink(Stream stream, String peer, Duration limit) throws IOException {
        this.stream = stream;
        this.peer = peer;
        this.limit = limit;
        selector = Selector.open();
        key = stream.channel().register(selector, 0);
    }

    /** Sets another time limit for each wait from now on. */
    void limit(Duration other) {
        limit = other;
    }

    @Override
    public ByteBuffer buffer(int capacity) {
        if (capacity > buffer.capacity()) {
            buffer = larger(capacity + Carrier.ANSWER_HEADROOM);
        }
        return buffer;
    }

    private ByteBuffer larger(int capacity) {
        if (borrowed == null && capacity <= Carrier.LARGE_BUFFER_LENGTH) {
            borrowed = LARGE.take();
            if (borrowed != null) {
                return borrowed.clear();
            }
        }
        return ByteBuffer.allocateDirect(capacity);
    }

    @Override
    public ByteBuffer exchange(Carrier.Span span) throws IOException {
        send();
        buffer.clear();
        await(SelectionKey.OP_READ);
        readUntil(Frame.HEADER_LENGTH);
        int length = Frame.length(buffer);
        if (length > buffer.capacity()) {
            buffer = larger(length).put(buffer.flip());
        }
        readUntil(length);
        return buffer;
    }

    /** Sends the frame. If the daemon has closed the connection, its reason may be there to read. */
    private void send() throws IOException {
        try {
            while (!stream.write(buffer)) {
                await(SelectionKey.OP_WRITE);
            }
        } catch (SocketTimeoutException e) {
            throw e;
        } catch (IOException e) {
            ended = true;
        }
    }

    private void readUntil(int position) throws IOException {
        while (buffer.position() < position) {
            if (read() == 0) {
                await(SelectionKey.OP_READ);
            }
        }
    }

    private int read() throws IOException {
        IOException cause = null;
        try {
            int count = stream.read(buffer);
            if (count >= 0) {
                return count;
            }
        } catch (IOException e) {
            cause = e;
        }
        String alert = TlsRefusal.alert(cause);
        throw new IOException(peer + " closed the connection" + (alert == null ? "" : ": " + alert), cause);
    }

    void await(int operation) throws IOException {
        if (key.interestOps() != operation) {
            key.interestOps(operation);
        }
        if (!Uninterrupted.wait(limit, this::isReady)) {
            throw new SocketTimeoutException(peer + " has not answered for " + seconds(limit));
        }
    }

    /** Waits at the selector, which returns without an exception after an interrupt. */
    private boolean isReady(long nanoseconds) throws IOException, InterruptedException {
        boolean ready = !Thread.currentThread().isInterrupted()
                && selector.select(selected -> {}, Math.max(1, TimeUnit.NANOSECONDS.toMillis(nanoseconds))) > 0;
        if (!ready && Thread.interrupted()) {
            throw new InterruptedException();
        }
        return ready;
    }

    static String seconds(Duration time) {
        return time.toMillis() % 1000 == 0 ? time.toSeconds() + " s" : time.toMillis() + " ms";
    }

    /** Returns whether the daemon closed the connection after its last answer. */
    boolean ended() {
        return ended;
    }

    void becomeIdle() {
        idleSince = System.nanoTime();
        shrink();
    }

    boolean isIdleFor(Duration time) {
        return System.nanoTime() - idleSince >= time.toNanos();
    }

    private void shrink() {
        buffer = own;
        if (borrowed != null) {
            LARGE.giveBack(borrowed);
            borrowed = null;
        }
    }

    /** Returns whether the connection is still open: there is nothing to read, not even its end. */
    boolean alive() {
        if (System.nanoTime() - idleSince < UNCHECKED_IDLE) {
            return true;
        }
        try {
            return stream.read(buffer.clear()) == 0;
        } catch (IOException e) {
            return false;
        }
    }

    void close() {
        shrink();
        try (selector) {
            stream.close();
        } catch (IOException e) {
            System.getLogger(SocketLink.class.getName()).log(System.Logger.Level.DEBUG, "close", e);
        }
    }
}
