package com.amazonaws.cloudhsm.jce.jni.exception;

/** The attribute does not take a value of this type. */
public class AddAttributeException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public AddAttributeException(String message) {
        super(message);
    }
}
