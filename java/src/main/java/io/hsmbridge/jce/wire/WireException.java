package io.hsmbridge.jce.wire;

import java.io.IOException;

/** What came back is not a message of the protocol. */
public final class WireException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public WireException(String message) {
        super(message);
    }
}
