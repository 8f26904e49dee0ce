package com.amazonaws.cloudhsm.jce.jni.exception;

/** Reasons of an {@link AuthenticationException}. */
public enum AuthenticationExceptionCause {
    /** No user is logged in, or the session has ended. */
    UNAUTHENTICATED
}
