package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import java.io.IOException;
import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** The carrier to an HSM in the same process, once Python has installed its hook. */
public final class InProcess extends Carrier {
    private static final int BUFFER_LENGTH = 64 * 1024;
    private static final Cleaner CLEANER = Cleaner.create();
    /** Virtual threads have no Python thread state to keep; these threads do their exchanges. */
    private static final ExecutorService PLATFORM_THREADS = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "hsmbridge-exchange");
        thread.setDaemon(true);
        return thread;
    });

    /** Brief exchanges do not let Python's interpreter go, so only one at a time gets on. */
    private static final Turn TURN = new Turn();

    private static volatile InProcess installed;

    private final InProcessHook hook;
    private final ThreadLocal<ThreadLink> links = new ThreadLocal<>();
    private final ConcurrentLinkedDeque<Seat> vacant = new ConcurrentLinkedDeque<>();

    private InProcess(InProcessHook hook) {
        this.hook = hook;
    }

    /** Makes every later request of this JVM go through this hook. Called by Python. */
    public static void install(InProcessHook hook) {
        installed = new InProcess(hook);
    }

    /** Returns the carrier that is installed, or null if the JVM was not started by Python. */
    public static InProcess installed() {
        return installed;
    }

    @Override
    protected <T> T exchange(int capacity, boolean brief, Request request, Reader<T> reader) throws IOException {
        if (!isVirtual(Thread.currentThread())) {
            return super.exchange(capacity, brief, request, reader);
        }
        try {
            return PLATFORM_THREADS.submit(() -> super.exchange(capacity, brief, request, reader)).get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for the HSM", e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException) {
                throw (IOException) e.getCause();
            }
            throw new CompletionException(e.getCause());
        }
    }

    /** Virtual threads, which this Java release does not name, are no Thread or subclass of the application's. */
    private static boolean isVirtual(Thread thread) {
        return thread.getClass() != Thread.class && thread.getClass().getName().startsWith("java.lang.VirtualThread");
    }

    @Override
    protected Link acquire() {
        ThreadLink link = links.get();
        if (link == null) {
            Seat seat = vacant.pollFirst();
            if (seat == null) {
                seat = Seat.open(hook);
            }
            link = new ThreadLink(seat);
            links.set(link);
            CLEANER.register(link, leaving(seat));
        }
        return link;
    }

    /** Holds no reference to the link, which would otherwise never be unreachable. */
    private Runnable leaving(Seat seat) {
        return () -> {
            seat.channel().release();
            vacant.offerFirst(seat);
        };
    }

    @Override
    protected void giveBack(Link link, boolean broken) {
        if (((ThreadLink) link).buffer.capacity() > BUFFER_LENGTH) {
            ((ThreadLink) link).shrink();
        }
    }

    @Override
    public String describe() {
        return "the HSM in this process";
    }

    /**
     * Answers the request at offset 0 of a channel's buffer, there. Its body is Python's.
     *
     * @return the answer's length in bytes; one that the buffer cannot hold waits for {@link InProcessChannel#grow}
     */
    private static native int exchange(int channelNumber);

    /** A channel and the buffer it shares, used by one thread after another: JPype never frees what a new one costs. */
    private record Seat(InProcessChannel channel, int number, ByteBuffer buffer) {
        static Seat open(InProcessHook hook) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_LENGTH);
            InProcessChannel channel = hook.open(buffer);
            return new Seat(channel, buffer.getInt(0), buffer);
        }
    }

    /** The link of a thread, which ends with it. */
    private static final class ThreadLink implements Link {
        private final Seat seat;
        private ByteBuffer buffer;

        ThreadLink(Seat seat) {
            this.seat = seat;
            buffer = seat.buffer();
        }

        @Override
        public ByteBuffer buffer(int capacity) {
            if (capacity > buffer.capacity()) {
                buffer = ByteBuffer.allocateDirect(Math.min(capacity, Frame.MAX_LENGTH + BUFFER_LENGTH));
                seat.channel().grow(buffer);
            }
            return buffer;
        }

        @Override
        public ByteBuffer exchange(boolean brief) {
            boolean taken = brief && TURN.take();
            int length;
            try {
                length = InProcess.exchange(seat.number());
            } finally {
                if (taken) {
                    TURN.pass();
                }
            }
            if (length > buffer.capacity()) {
                buffer = ByteBuffer.allocateDirect(length);
                seat.channel().grow(buffer);
            }
            return buffer;
        }

        void shrink() {
            buffer = seat.buffer();
            seat.channel().grow(buffer);
        }
    }
}
