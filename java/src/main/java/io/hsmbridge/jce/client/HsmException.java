package io.hsmbridge.jce.client;

/** Refusal of a request, for which the caller's engine class has an exception of its own. */
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
