package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.wire.Frame;
import java.io.IOException;
import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** The carrier to an HSM in the same process, available after Python has installed its hook. */
public final class InProcess extends Carrier {
    private static final Cleaner CLEANER = Cleaner.create();
    /** Threads that run the exchanges of virtual threads, which cannot keep a Python thread state. */
    private static final ExecutorService PLATFORM_THREADS = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "hsmbridge-exchange");
        thread.setDaemon(true);
        return thread;
    });

    /** Admits one operation of microseconds at a time, because such operations hold Python's interpreter lock. */
    private static final Turn SINGLE = new Turn(1);
    /**
     * Admits as many longer operations as there are processors; they release the interpreter lock while they compute,
     * and more threads would only compete.
     */
    private static final Turn AS_MANY_AS_PROCESSORS = new Turn(Math.max(2, Runtime.getRuntime().availableProcessors()));

    private static volatile InProcess installed;

    private final InProcessHook hook;
    private final ThreadLocal<ChannelLink> links = new ThreadLocal<>();
    private final ConcurrentLinkedDeque<SharedChannel> idle = new ConcurrentLinkedDeque<>();
    private final Pool<ChannelLink> large;

    private InProcess(InProcessHook hook) {
        this.hook = hook;
        large = new Pool<>(LARGE_BUFFERS, () -> new ChannelLink(SharedChannel.open(hook, LARGE_BUFFER_LENGTH)));
    }

    /** Routes every later request of this JVM through this hook. Python calls it. */
    public static void install(InProcessHook hook) {
        InProcess before = installed;
        installed = new InProcess(hook);
        if (before != null) {
            before.large.close(ChannelLink::release);
        }
    }

    /** Returns the installed carrier, or null if Python did not start the JVM. */
    public static InProcess installed() {
        return installed;
    }

    @Override
    protected <T> T exchange(int capacity, Span span, Request request, Reader<T> reader) throws IOException {
        if (!isVirtual(Thread.currentThread())) {
            return super.exchange(capacity, span, request, reader);
        }
        CompletableFuture<T> answer = new CompletableFuture<>();
        PLATFORM_THREADS.execute(() -> {
            try {
                answer.complete(super.exchange(capacity, span, request, reader));
            } catch (IOException | RuntimeException | Error e) {
                answer.completeExceptionally(e);
            }
        });
        try {
            return answer.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof IOException) {
                throw (IOException) e.getCause();
            }
            throw e;
        }
    }

    /**
     * Returns whether the thread is virtual. This Java release has no name for the class of virtual threads, which is
     * no subclass of an application's.
     */
    private static boolean isVirtual(Thread thread) {
        return thread.getClass() != Thread.class && thread.getClass().getName().startsWith("java.lang.VirtualThread");
    }

    @Override
    protected Link acquire(int capacity) {
        if (capacity > BUFFER_LENGTH - ANSWER_HEADROOM && capacity <= LARGE_BUFFER_LENGTH - ANSWER_HEADROOM) {
            ChannelLink link = large.take();
            if (link != null) {
                return link;
            }
        }
        ChannelLink link = links.get();
        if (link == null) {
            SharedChannel shared = idle.pollFirst();
            if (shared == null) {
                shared = SharedChannel.open(hook, BUFFER_LENGTH);
            }
            link = new ChannelLink(shared);
            links.set(link);
            CLEANER.register(link, afterThread(shared));
        }
        return link;
    }

    /**
     * Returns the action after a thread's end. It holds no reference to the link, which would otherwise stay reachable.
     */
    private Runnable afterThread(SharedChannel shared) {
        return () -> {
            shared.channel.release();
            idle.offerFirst(shared);
        };
    }

    @Override
    protected void giveBack(Link used, boolean broken) {
        ChannelLink link = (ChannelLink) used;
        link.shrink();
        if (link.shared.isLarge()) {
            large.giveBack(link);
        }
    }

    @Override
    public String describe() {
        return "the HSM in this process";
    }

    /**
     * Answers the request at offset 0 of a channel's buffer, in the same buffer. Python implements it.
     *
     * @return length of the answer in bytes; a longer answer than the buffer waits for {@link InProcessChannel#grow}
     */
    private static native int exchange(int channelNumber);

    /**
     * A channel and the buffer that it shares. Threads use it in turn, because JPype never frees the memory of a
     * channel.
     */
    private static final class SharedChannel {
        private final InProcessChannel channel;
        private final int number;
        private final ByteBuffer buffer;

        /** Creates the value of its parts. */
        SharedChannel(InProcessChannel channel, int number, ByteBuffer buffer) {
            this.channel = channel;
            this.number = number;
            this.buffer = buffer;
        }

        static SharedChannel open(InProcessHook hook, int length) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(length);
            InProcessChannel channel = hook.open(buffer, length > BUFFER_LENGTH);
            return new SharedChannel(channel, buffer.getInt(0), buffer);
        }

        boolean isLarge() {
            return buffer.capacity() > BUFFER_LENGTH;
        }
    }

    /** The link of one thread until it ends, or of one large request until its answer. */
    private static final class ChannelLink implements Link {
        private final SharedChannel shared;
        private ByteBuffer buffer;

        ChannelLink(SharedChannel shared) {
            this.shared = shared;
            buffer = shared.buffer;
        }

        @Override
        public ByteBuffer buffer(int capacity) {
            if (capacity > buffer.capacity()) {
                buffer = ByteBuffer.allocateDirect(Math.min(capacity + ANSWER_HEADROOM, Frame.MAX_LENGTH + BUFFER_LENGTH));
                shared.channel.grow(buffer);
            }
            return buffer;
        }

        @Override
        public ByteBuffer exchange(Span span) {
            int length = inTurn(span);
            if (length > buffer.capacity()) {
                buffer = ByteBuffer.allocateDirect(length);
                shared.channel.grow(buffer);
            }
            return buffer;
        }

        private int inTurn(Span span) {
            if (span == Span.UNKNOWN) {
                return InProcess.exchange(shared.number);
            }
            Turn turn = span == Span.MICROSECONDS ? SINGLE : AS_MANY_AS_PROCESSORS;
            boolean taken = turn.take();
            try {
                return InProcess.exchange(shared.number);
            } finally {
                if (taken) {
                    turn.pass();
                }
            }
        }

        /** Releases the buffer; Python keeps a channel, and the buffer that it shares, until the JVM ends. */
        void release() {
            shared.channel.grow(ByteBuffer.allocateDirect(Frame.HEADER_LENGTH));
        }

        void shrink() {
            if (buffer != shared.buffer) {
                buffer = shared.buffer;
                shared.channel.grow(buffer);
            }
        }
    }
}
