package com.amazonaws.cloudhsm.jce.jni.exception;

/** Refusal of a value whose type the attribute does not take. */
public class AddAttributeException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public AddAttributeException(String message) {
        super(message);
    }
}
