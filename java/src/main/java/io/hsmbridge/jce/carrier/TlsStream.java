package io.hsmbridge.jce.carrier;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;

/** An encrypted connection over a TCP channel. */
final class TlsStream implements Stream {
    private static final ByteBuffer NOTHING = ByteBuffer.allocate(0);

    private final SocketChannel channel;
    private final SSLEngine engine;
    /** Received and not decrypted, ready to be read. */
    private final ByteBuffer received;
    /** Decrypted and not read, ready to be read. */
    private final ByteBuffer decrypted;
    /** Encrypted and not sent, ready to be read. */
    private final ByteBuffer unsent;

    TlsStream(SocketChannel channel, SSLEngine engine) {
        this.channel = channel;
        this.engine = engine;
        int record = engine.getSession().getPacketBufferSize();
        // JSSE encrypts and decrypts arrays in place, and copies other buffers before.
        received = ByteBuffer.allocate(2 * record).flip();
        unsent = ByteBuffer.allocate(2 * record).flip();
        decrypted = ByteBuffer.allocate(engine.getSession().getApplicationBufferSize()).flip();
    }

    @Override
    public SocketChannel channel() {
        return channel;
    }

    /**
     * Makes the handshake.
     *
     * @throws IOException if the server or its certificate is refused, or the server refuses
     */
    void handshake(Readiness readiness) throws IOException {
        engine.beginHandshake();
        while (true) {
            switch (engine.getHandshakeStatus()) {
                case NEED_TASK:
                    runTasks();
                    break;
                case NEED_WRAP:
                    encrypt(NOTHING);
                    while (!flush()) {
                        readiness.await(SelectionKey.OP_WRITE);
                    }
                    break;
                case NEED_UNWRAP:
                    if (!decrypt(decrypted.compact())) {
                        readiness.await(SelectionKey.OP_READ);
                        if (receive() < 0) {
                            throw new EOFException("the connection was closed in the handshake");
                        }
                    }
                    break;
                default:
                    return;
            }
        }
    }

    private void runTasks() {
        for (Runnable task = engine.getDelegatedTask(); task != null; task = engine.getDelegatedTask()) {
            task.run();
        }
    }

    /** Decrypts one record; returns false if it has not arrived yet. */
    private boolean decrypt(ByteBuffer target) throws IOException {
        try {
            SSLEngineResult result = engine.unwrap(received, target);
            return result.getStatus() != SSLEngineResult.Status.BUFFER_UNDERFLOW;
        } finally {
            if (target == decrypted) {
                decrypted.flip();
            }
        }
    }

    private int receive() throws IOException {
        received.compact();
        try {
            return channel.read(received);
        } finally {
            received.flip();
        }
    }

    @Override
    public int read(ByteBuffer buffer) throws IOException {
        OwnTls.enter();
        try {
            return readDecrypted(buffer);
        } finally {
            OwnTls.leave();
        }
    }

    private int readDecrypted(ByteBuffer buffer) throws IOException {
        int before = buffer.position();
        while (buffer.hasRemaining()) {
            if (decrypted.hasRemaining()) {
                take(buffer);
            } else if (received.hasRemaining() && decryptFor(buffer)) {
                answerPeer();
            } else if (engine.isInboundDone()) {
                return end(buffer.position() - before);
            } else if (buffer.position() > before) {
                break;
            } else {
                int count = receive();
                if (count <= 0) {
                    return count;
                }
            }
        }
        return buffer.position() - before;
    }

    private static int end(int count) {
        return count > 0 ? count : -1;
    }

    /** Decrypts the next record into the buffer if it surely has room; returns false if the record is incomplete. */
    private boolean decryptFor(ByteBuffer buffer) throws IOException {
        return decrypt(buffer.remaining() >= decrypted.capacity() ? buffer : decrypted.compact());
    }

    private void take(ByteBuffer buffer) {
        int end = decrypted.limit();
        decrypted.limit(Math.min(end, decrypted.position() + buffer.remaining()));
        buffer.put(decrypted);
        decrypted.limit(end);
    }

    /** Runs and answers what TLS itself asks for after the handshake: new keys, or the end. */
    private void answerPeer() throws IOException {
        while (true) {
            switch (engine.getHandshakeStatus()) {
                case NEED_TASK:
                    runTasks();
                    break;
                case NEED_WRAP:
                    if (unsent.hasRemaining()) {
                        return;
                    }
                    encrypt(NOTHING);
                    flush();
                    break;
                default:
                    return;
            }
        }
    }

    @Override
    public boolean write(ByteBuffer buffer) throws IOException {
        OwnTls.enter();
        try {
            return writeEncrypted(buffer);
        } finally {
            OwnTls.leave();
        }
    }

    private boolean writeEncrypted(ByteBuffer buffer) throws IOException {
        while (flush()) {
            if (!buffer.hasRemaining()) {
                return true;
            }
            encrypt(buffer);
        }
        return false;
    }

    /** Encrypts at most one record; everything encrypted before has been sent. */
    private void encrypt(ByteBuffer data) throws IOException {
        unsent.clear();
        try {
            if (engine.wrap(data, unsent).getStatus() == SSLEngineResult.Status.CLOSED && data.hasRemaining()) {
                throw new EOFException("the connection has ended");
            }
        } finally {
            unsent.flip();
        }
    }

    private boolean flush() throws IOException {
        if (unsent.hasRemaining()) {
            channel.write(unsent);
        }
        return !unsent.hasRemaining();
    }

    @Override
    public void close() throws IOException {
        OwnTls.enter();
        try {
            engine.closeOutbound();
            if (channel.isConnected() && flush()) {
                encrypt(NOTHING);
                flush();
            }
        } catch (IOException e) {
            System.getLogger(TlsStream.class.getName()).log(System.Logger.Level.DEBUG, "end of TLS", e);
        } finally {
            OwnTls.leave();
            channel.close();
        }
    }
}
