package io.hsmbridge.jce.wire;

import java.io.IOException;

/** Receipt of bytes that are not a message of the protocol. */
public final class WireException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public WireException(String message) {
        super(message);
    }
}
