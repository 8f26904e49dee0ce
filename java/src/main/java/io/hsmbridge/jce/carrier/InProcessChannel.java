package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** The rare half of one Java thread's way to the HSM in the same process. Python provides it. */
public interface InProcessChannel {
    /** Goes on with a larger direct buffer and puts the answer that did not fit there. */
    void grow(ByteBuffer larger);

    /** Ends the channel; called by another thread once its own is gone. */
    void release();
}
