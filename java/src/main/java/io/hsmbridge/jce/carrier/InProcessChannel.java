package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** The rarely used methods of one thread's channel to the HSM in the same process. Python implements it. */
public interface InProcessChannel {
    /** Replaces the direct buffer by a larger one, and writes the answer that waits there. */
    void grow(ByteBuffer larger);

    /** Ends the use of the channel by a thread that has ended; another thread calls it. */
    void release();
}
