package io.hsmbridge.jce.client;

/** The HSM refused a request, for a reason that the caller's engine class has an exception for. */
public final class HsmException extends Exception {
    private static final long serialVersionUID = 1L;

    private final int code;

    HsmException(int code, String message) {
        super(message);
        this.code = code;
    }

    /** Returns the error code of the protocol. */
    public int code() {
        return code;
    }
}
