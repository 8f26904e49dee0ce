package com.amazonaws.cloudhsm.jce.provider.attributes;

/** Classes of keys, for {@link KeyAttribute#OBJECT_CLASS}. */
public enum ObjectClassType {
    /** The public half of a pair. */
    PUBLIC_KEY,
    /** The private half of a pair. */
    PRIVATE_KEY,
    /** A secret key. */
    SECRET_KEY
}
