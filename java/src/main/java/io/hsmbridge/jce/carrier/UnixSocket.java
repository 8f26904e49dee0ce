package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values;
import java.io.EOFException;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.concurrent.ConcurrentLinkedDeque;

/** The carrier to a daemon over its Unix socket: a pool of connections, each used by one thread at a time. */
public final class UnixSocket extends Carrier {
    /** How long a connection may rest before it is asked whether the daemon is still there, in nanoseconds. */
    private static final long TRUSTED_REST = 50_000_000L;

    private final Path path;
    private final String tried;
    private final boolean chosen;
    private final ConcurrentLinkedDeque<SocketLink> idle = new ConcurrentLinkedDeque<>();

    /** Makes a carrier to this socket; {@code tried} says how it was chosen. It connects at the first request. */
    public UnixSocket(Path path, String tried) {
        this(path, tried, true);
    }

    private UnixSocket(Path path, String tried, boolean chosen) {
        this.path = path;
        this.tried = tried;
        this.chosen = chosen;
    }

    /** Makes a carrier to the socket where a daemon listens when nobody says otherwise. */
    static UnixSocket byDefault(Path path) {
        return new UnixSocket(path, "the default", false);
    }

    @Override
    protected Link acquire(int capacity) throws IOException {
        SocketLink link;
        while ((link = idle.pollFirst()) != null) {
            if (link.alive()) {
                return link;
            }
            lost(link);
        }
        return connect();
    }

    private SocketLink connect() throws IOException {
        SocketChannel channel;
        try {
            channel = SocketChannel.open(UnixDomainSocketAddress.of(path));
        } catch (IOException | IllegalArgumentException e) {
            throw new NoHsmException("No HSM answers at " + path + " (" + tried + "): " + e.getMessage()
                    + ". `hsm start` starts one; HSM_HOME, HSM_SOCKET or the system property hsmbridge.socket say where"
                    + " it listens.", e, chosen);
        }
        SocketLink link = new SocketLink(channel);
        Object[] fields = {(long) Frame.VERSION, (long) Frame.VERSION, "java"};
        Frame.writeRequest(link.buffer(Frame.HEADER_LENGTH + 64), Operation.HELLO, 0, fields);
        ByteBuffer answer = link.exchange(Span.UNKNOWN);
        if (Frame.status(answer) != 0) {
            answer.clear().position(Frame.HEADER_LENGTH).limit(Frame.length(answer));
            String message = String.valueOf(Values.readAll(answer));
            channel.close();
            throw new IOException("The HSM at " + path + " refused the connection: " + message);
        }
        return link;
    }

    @Override
    protected void giveBack(Link link, boolean broken) {
        SocketLink used = (SocketLink) link;
        if (broken) {
            lost(used);
        } else {
            used.rest();
            idle.offerFirst(used);
        }
    }

    private void lost(SocketLink link) {
        link.close();
    }

    @Override
    public String describe() {
        return "the HSM at " + path;
    }

    private static final class SocketLink implements Link {
        private static final Pool<ByteBuffer> LARGE =
                new Pool<>(LARGE_BUFFERS, () -> ByteBuffer.allocateDirect(LARGE_BUFFER_LENGTH));

        private final SocketChannel channel;
        private final ByteBuffer own = ByteBuffer.allocateDirect(BUFFER_LENGTH);
        private ByteBuffer buffer = own;
        private ByteBuffer borrowed;
        private long restingSince;

        SocketLink(SocketChannel channel) {
            this.channel = channel;
        }

        @Override
        public ByteBuffer buffer(int capacity) {
            if (capacity > buffer.capacity()) {
                buffer = larger(capacity + ANSWER_HEADROOM);
            }
            return buffer;
        }

        private ByteBuffer larger(int capacity) {
            if (borrowed == null && capacity <= LARGE_BUFFER_LENGTH) {
                borrowed = LARGE.take();
                if (borrowed != null) {
                    return borrowed.clear();
                }
            }
            return ByteBuffer.allocateDirect(capacity);
        }

        @Override
        public ByteBuffer exchange(Span span) throws IOException {
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            buffer.clear();
            readUntil(Frame.HEADER_LENGTH);
            int length = Frame.length(buffer);
            if (length > buffer.capacity()) {
                buffer = larger(length).put(buffer.flip());
            }
            readUntil(length);
            return buffer;
        }

        private void readUntil(int position) throws IOException {
            while (buffer.position() < position) {
                if (channel.read(buffer) < 0) {
                    throw new EOFException("the HSM closed the connection");
                }
            }
        }

        void rest() {
            restingSince = System.nanoTime();
            shrink();
        }

        private void shrink() {
            buffer = own;
            if (borrowed != null) {
                LARGE.giveBack(borrowed);
                borrowed = null;
            }
        }

        /** Returns whether the daemon still has this connection open: nothing to read is right, the end is not. */
        boolean alive() {
            if (System.nanoTime() - restingSince < TRUSTED_REST) {
                return true;
            }
            try {
                channel.configureBlocking(false);
                int count = channel.read(buffer.clear());
                channel.configureBlocking(true);
                return count == 0;
            } catch (IOException e) {
                return false;
            }
        }

        void close() {
            shrink();
            try {
                channel.close();
            } catch (IOException e) {
                System.getLogger(UnixSocket.class.getName()).log(System.Logger.Level.DEBUG, "close", e);
            }
        }
    }
}
