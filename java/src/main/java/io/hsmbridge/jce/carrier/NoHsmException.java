package io.hsmbridge.jce.carrier;

import java.io.IOException;

/** Nothing answers where the HSM should be; the message says what was tried and how to start it. */
public final class NoHsmException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message and cause. */
    public NoHsmException(String message, Throwable cause) {
        super(message, cause);
    }
}
