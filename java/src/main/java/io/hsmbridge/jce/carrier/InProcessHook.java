package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** Opens the way from one Java thread to the HSM in the same process. Python provides it. */
public interface InProcessHook {
    /** Returns a channel that shares the direct buffer with the calling thread. */
    InProcessChannel open(ByteBuffer directBuffer);
}
