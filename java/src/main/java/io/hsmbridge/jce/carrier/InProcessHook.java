package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** Opens channels from Java threads to the HSM in the same process. Python implements it. */
public interface InProcessHook {
    /**
     * Returns a channel that shares this direct buffer, and writes its number into the first four bytes, big-endian.
     *
     * @param directBuffer buffer for requests and answers
     * @param pooled whether a thread has the channel for one exchange only; otherwise the thread keeps it until its
     *     release
     */
    InProcessChannel open(ByteBuffer directBuffer, boolean pooled);
}
