package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.ByteArrayOutputStream;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * An operation in several requests. The HSM holds its state under a handle until this object ends it or is collected.
 */
final class MultiPart {
    /** Largest amount of data in one request, in bytes. */
    private static final int PIECE = 1024 * 1024;
    private static final Cleaner CLEANER = Cleaner.create();
    /**
     * Sends requests for the cleaner's thread, which must not wait. Its thread ends when idle, so that it keeps no
     * class loader.
     */
    private static final Executor SENDER = sender();

    private final HsmClient client;
    private final long handle;
    private final Ending ending;
    private final Cleaner.Cleanable cleanable;

    private MultiPart(HsmClient client, long handle) {
        this.client = client;
        this.handle = handle;
        ending = new Ending(client, handle);
        cleanable = CLEANER.register(this, ending);
    }

    private static Executor sender() {
        ThreadPoolExecutor sender = new ThreadPoolExecutor(1, 1, 1, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
            Thread thread = new Thread(task, "hsmbridge-collected-operations");
            thread.setDaemon(true);
            return thread;
        });
        sender.allowCoreThreadTimeOut(true);
        return sender;
    }

    static MultiPart begin(HsmClient client, String kind, Object key, String mechanism, Map<String, ?> parameters)
            throws HsmException {
        return new MultiPart(client, (Long) client.call(Operation.BEGIN, kind, key, mechanism, parameters).get(0));
    }

    /** Sends data and returns the output that is available, which may be empty. */
    byte[] update(byte[] data, int offset, int length) throws HsmException {
        try {
            if (length <= PIECE) {
                return client.bytes(Operation.UPDATE, handle, new Slice(data, offset, length));
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream(length);
            for (int done = 0; done < length; done += PIECE) {
                out.writeBytes(update(data, offset + done, Math.min(PIECE, length - done)));
            }
            return out.toByteArray();
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    /** Sends the last data and returns the last output. Ends the operation in any case. */
    byte[] finish(byte[] data, int offset, int length) throws HsmException {
        ByteArrayOutputStream out = new ByteArrayOutputStream(Math.max(length, 64));
        int last = length > PIECE ? length - PIECE : 0;
        if (last > 0) {
            out.writeBytes(updateOrAbort(data, offset, last));
        }
        forget();
        out.writeBytes(client.bytes(Operation.FINISH, handle, new Slice(data, offset + last, length - last)));
        return out.toByteArray();
    }

    private byte[] updateOrAbort(byte[] data, int offset, int length) throws HsmException {
        try {
            return update(data, offset, length);
        } catch (HsmException e) {
            abort();
            throw e;
        }
    }

    /** Ends the operation without a result. Never fails: the HSM ends an abandoned operation itself. */
    void abort() {
        forget();
        ending.send();
    }

    private void forget() {
        ending.over = true;
        cleanable.clean();
    }

    /** Ends the operation of a collected object; therefore it holds no reference to that object. */
    private static final class Ending implements Runnable {
        private final HsmClient client;
        private final long handle;
        private volatile boolean over;

        Ending(HsmClient client, long handle) {
            this.client = client;
            this.handle = handle;
        }

        @Override
        public void run() {
            if (!over) {
                SENDER.execute(this::send);
            }
        }

        private void send() {
            if (!client.loggedIn()) {
                return;
            }
            try {
                client.call(Operation.ABORT, handle);
            } catch (HsmException | RuntimeException e) {
                System.getLogger(MultiPart.class.getName()).log(System.Logger.Level.DEBUG, e.getMessage());
            }
        }
    }
}
