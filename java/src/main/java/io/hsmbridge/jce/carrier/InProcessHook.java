package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** Opens the way from one Java thread to the HSM in the same process. Python provides it. */
public interface InProcessHook {
    /** Returns a channel that shares this direct buffer, and writes its number into the first four bytes, big-endian. */
    InProcessChannel open(ByteBuffer directBuffer);
}
