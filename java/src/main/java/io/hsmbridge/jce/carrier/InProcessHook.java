package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** Opens the way from a Java thread to the HSM in the same process. Python provides it. */
public interface InProcessHook {
    /**
     * Returns a channel that shares this direct buffer, and writes its number into the first four bytes, big-endian. One
     * that is not {@code lent} to a thread for one exchange is that thread's until it is released.
     */
    InProcessChannel open(ByteBuffer directBuffer, boolean lent);
}
