package io.hsmbridge.jce.wire;

/** Operation numbers of the message protocol that the provider uses; see {@code bridge/PROTOCOL.md}. */
public final class Operation {
    public static final int HELLO = 1;
    public static final int LOGIN = 2;
    public static final int LOGOUT = 3;
    public static final int GENERATE_KEY = 10;
    public static final int GENERATE_KEY_PAIR = 11;
    public static final int IMPORT_KEY = 12;
    public static final int FIND_KEYS = 13;
    public static final int GET_KEY = 14;
    public static final int DESTROY_KEY = 16;
    public static final int CLEAR_VALUE = 17;
    public static final int WRAP_KEY = 18;
    public static final int UNWRAP_KEY = 19;
    public static final int DERIVE_KEY = 20;
    public static final int RANDOM = 21;
    public static final int ENCRYPT = 30;
    public static final int DECRYPT = 31;
    public static final int SIGN = 32;
    public static final int VERIFY = 33;
    public static final int REPEAT = 34;
    public static final int BEGIN = 40;
    public static final int UPDATE = 41;
    public static final int FINISH = 42;
    public static final int ABORT = 43;
    public static final int STORE_DECODE = 70;
    public static final int STORE_ENCODE = 71;
    public static final int STORE_LIST = 72;
    public static final int STORE_IS_KEY = 73;
    public static final int STORE_GET_KEY = 74;
    public static final int STORE_SET_KEY = 75;
    public static final int STORE_IMPORT_KEY = 76;
    public static final int STORE_SET_CERTIFICATE = 77;
    public static final int STORE_PERSIST = 78;
    public static final int CLUSTER_MEMBERS = 172;

    private Operation() {}

    /** Returns whether an operation changes no key. */
    public static boolean onlyReads(int operation) {
        return (operation >= ENCRYPT && operation <= ABORT) || operation == FIND_KEYS || operation == GET_KEY
                || operation == CLEAR_VALUE || operation == WRAP_KEY
                || (operation >= STORE_DECODE && operation <= STORE_GET_KEY) || operation == STORE_SET_CERTIFICATE;
    }

    /** Returns whether an operation changes keys, so that a second run would change them again. */
    public static boolean isChange(int operation) {
        return operation >= GENERATE_KEY && operation <= DERIVE_KEY && !onlyReads(operation)
                || operation == STORE_SET_KEY || operation == STORE_IMPORT_KEY || operation == STORE_PERSIST;
    }

    /** Returns whether an operation uses keys or the random generator, and finds or changes none. */
    public static boolean usesKey(int operation) {
        return operation >= RANDOM && operation <= ABORT || operation == WRAP_KEY || operation == CLEAR_VALUE;
    }

    /** Returns whether a request may be sent again if its fate is unknown, because a second run changes nothing. */
    public static boolean isSafeToRepeat(int operation) {
        boolean isMultiPart = operation >= BEGIN && operation <= ABORT;
        return onlyReads(operation) && !isMultiPart;
    }
}
