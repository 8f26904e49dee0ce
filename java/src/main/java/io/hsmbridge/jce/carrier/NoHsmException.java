package io.hsmbridge.jce.carrier;

import java.io.IOException;

/** Nothing answers where the HSM should be; the message says what was tried and how to start it. */
public final class NoHsmException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Whether somebody said that the HSM should be there; false for the place where it is looked for unasked. */
    private final boolean chosen;

    /** Makes one with this message and cause. */
    public NoHsmException(String message, Throwable cause, boolean chosen) {
        super(message, cause);
        this.chosen = chosen;
    }

    /** Returns whether the place was chosen, and not merely the default. */
    public boolean chosen() {
        return chosen;
    }
}
