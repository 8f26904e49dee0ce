package com.amazonaws.cloudhsm.jce.jni;

/** Kinds of users that can log in through the provider. */
public enum UserType {
    /** A user who owns and uses keys. */
    CRYPTO_USER
}
