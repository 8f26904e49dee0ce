package io.hsmbridge.jce.carrier;

import java.io.IOException;

/** Failure to reach an HSM; the message names the place, its origin, and the command that starts an HSM. */
public final class NoHsmException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Whether a configuration names the place; false for the default place. */
    private final boolean chosen;

    /**
     * Creates an exception.
     *
     * @param message the message
     * @param cause the failure to connect
     * @param chosen whether a configuration names the place
     */
    public NoHsmException(String message, Throwable cause, boolean chosen) {
        super(message, cause);
        this.chosen = chosen;
    }

    /** Returns whether a configuration names the place, rather than the default. */
    public boolean chosen() {
        return chosen;
    }
}
