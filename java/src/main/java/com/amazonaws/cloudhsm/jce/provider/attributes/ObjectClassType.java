package com.amazonaws.cloudhsm.jce.provider.attributes;

/** Key classes, for {@link KeyAttribute#OBJECT_CLASS}. */
public enum ObjectClassType {
    /** A public key. */
    PUBLIC_KEY,
    /** A private key. */
    PRIVATE_KEY,
    /** A secret key. */
    SECRET_KEY
}
