package io.hsmbridge.jce.carrier;

import java.nio.ByteBuffer;

/** One Java thread's way to the HSM in the same process. Python provides it. No argument and no result is cheapest. */
public interface InProcessChannel {
    /** Answers the request at offset 0 of the buffer, at offset 0; only the header if the answer does not fit. */
    void exchange();

    /** Goes on with a larger direct buffer and puts the answer that did not fit there. */
    void grow(ByteBuffer larger);

    /** Ends the channel; called by another thread once its own is gone. */
    void release();
}
