package io.hsmbridge.jce.client;

import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException;
import com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationExceptionCause;
import com.amazonaws.cloudhsm.jce.jni.exception.AccountLockedException;
import com.amazonaws.cloudhsm.jce.jni.exception.FailedLoginException;
import com.amazonaws.cloudhsm.jce.jni.exception.InternalException;
import com.amazonaws.cloudhsm.jce.jni.exception.ProviderException;
import java.io.IOException;
import java.security.InvalidKeyException;
import java.security.InvalidParameterException;
import java.security.KeyStoreException;
import java.security.SignatureException;
import java.security.UnrecoverableKeyException;
import java.security.spec.InvalidKeySpecException;
import javax.crypto.AEADBadTagException;
import javax.crypto.BadPaddingException;
import javax.crypto.IllegalBlockSizeException;
import javax.security.auth.login.LoginException;

/** Converts error codes of the protocol to the exceptions of the reference, which depend on the engine's method. */
public final class Errors {
    public static final int UNAUTHENTICATED = 10;
    static final int AUTHENTICATION_FAILED = 11;
    private static final int ACCOUNT_LOCKED = 12;
    public static final int KEY_NOT_FOUND = 20;
    private static final int KEY_AMBIGUOUS = 21;
    private static final int LAST_OF_REQUEST = 9;
    private static final int ATTRIBUTE_INVALID = 30;
    private static final int MECHANISM_PARAMETER_INVALID = 41;
    private static final int DATA_LENGTH_INVALID = 42;
    private static final int PADDING_INVALID = 43;
    private static final int TAG_MISMATCH = 44;
    private static final int OPERATION_NOT_FOUND = 45;
    private static final int OPERATION_LIMIT = 46;
    static final int REPETITION_UNKNOWN = 49;
    private static final int FIRST_OF_STATE = 60;
    private static final int STORE_UNREACHABLE = 66;
    static final int NOT_CAUGHT_UP = 67;
    private static final int FIRST_OF_KEY_STORE = 70;
    private static final int KEYSTORE_PASSWORD = 70;

    private Errors() {}

    /** Returns whether an HSM answers with this code that is cut off from its database or cluster. */
    static boolean isOfUnreadyHsm(int code) {
        return code == STORE_UNREACHABLE || code == NOT_CAUGHT_UP;
    }

    /** Returns whether the HSM answers with this code for a key or an operation of an ended session. */
    static boolean isOfLostSession(int code) {
        return code == KEY_NOT_FOUND || code == OPERATION_NOT_FOUND;
    }

    /** Returns whether the HSM refuses the data alone: its length, its padding or its tag. */
    public static boolean isOfData(HsmException e) {
        return e.code() >= DATA_LENGTH_INVALID && e.code() <= TAG_MISMATCH;
    }

    /** Returns the exception of a code that means the same in every method, else null. */
    static RuntimeException general(int code, String message) {
        if (code <= LAST_OF_REQUEST || code == OPERATION_LIMIT) {
            return new InternalException(message);
        }
        if (code == UNAUTHENTICATED) {
            return new AuthenticationException(message, AuthenticationExceptionCause.UNAUTHENTICATED);
        }
        if (code >= FIRST_OF_STATE && code < FIRST_OF_KEY_STORE) {
            return new ProviderException(message);
        }
        return null;
    }

    /** Returns the exception of a method that declares no exception that fits. */
    public static java.security.ProviderException unexpected(HsmException e) {
        return new java.security.ProviderException(e.getMessage(), e);
    }

    /** Returns the exception of {@code init} and {@code unwrap} for an unsuitable key. */
    public static InvalidKeyException invalidKey(HsmException e) {
        return new InvalidKeyException(e.getMessage(), e);
    }

    /**
     * Returns the exception of a generator's method: {@code InvalidParameterException} for an invalid attribute or
     * parameter, else {@code ProviderException}.
     */
    public static RuntimeException generation(HsmException e) {
        return e.code() >= ATTRIBUTE_INVALID && e.code() <= MECHANISM_PARAMETER_INVALID
                ? caused(new InvalidParameterException(e.getMessage()), e) : unexpected(e);
    }

    /** Returns the exception of an import. */
    public static InvalidKeySpecException invalidKeySpec(HsmException e) {
        return new InvalidKeySpecException(e.getMessage(), e);
    }

    /** Returns the exception of {@code sign} and {@code verify}. */
    public static SignatureException signature(HsmException e) {
        return new SignatureException(e.getMessage(), e);
    }

    /**
     * Returns the exception of {@code doFinal} that it need not declare, and throws those that it declares.
     *
     * @throws IllegalBlockSizeException if the length of the data is wrong
     * @throws BadPaddingException if padding or tag is wrong
     */
    public static java.security.ProviderException crypt(HsmException e)
            throws IllegalBlockSizeException, BadPaddingException {
        switch (e.code()) {
            case DATA_LENGTH_INVALID:
                throw caused(new IllegalBlockSizeException(e.getMessage()), e);
            case PADDING_INVALID:
                throw caused(new BadPaddingException(e.getMessage()), e);
            case TAG_MISMATCH:
                throw caused(new AEADBadTagException(e.getMessage()), e);
            default:
                return unexpected(e);
        }
    }

    /**
     * Returns the exception of {@code wrap} for an unsuitable key.
     *
     * @throws IllegalBlockSizeException if the length of the key to wrap is wrong
     */
    public static InvalidKeyException wrap(HsmException e) throws IllegalBlockSizeException {
        if (e.code() == DATA_LENGTH_INVALID) {
            throw caused(new IllegalBlockSizeException(e.getMessage()), e);
        }
        return invalidKey(e);
    }

    /**
     * Returns the exception of {@code getKey} if several keys have the label.
     *
     * @throws java.security.ProviderException for any other code
     */
    public static UnrecoverableKeyException unrecoverable(HsmException e) {
        if (e.code() == KEY_AMBIGUOUS) {
            return caused(new UnrecoverableKeyException(e.getMessage()), e);
        }
        throw unexpected(e);
    }

    /** Returns the exception of a method that changes a key store. */
    public static KeyStoreException keyStore(HsmException e) {
        return new KeyStoreException(e.getMessage(), e);
    }

    /** Returns the exception of {@code load} and {@code store}. A wrong password is an UnrecoverableKeyException as its cause. */
    public static IOException keyStoreFile(HsmException e) {
        if (e.code() == KEYSTORE_PASSWORD) {
            return new IOException(e.getMessage(), new UnrecoverableKeyException(e.getMessage()));
        }
        return new IOException(e.getMessage(), e);
    }

    /** Returns the exception of {@code login}. */
    public static LoginException login(HsmException e) {
        if (e.code() == ACCOUNT_LOCKED) {
            return new AccountLockedException(e.getMessage());
        }
        return new FailedLoginException(e.code() == AUTHENTICATION_FAILED
                ? "Incorrect credentials are passed for this operation: Incorrect authentication credentials."
                : e.getMessage());
    }

    private static <T extends Throwable> T caused(T exception, Throwable cause) {
        exception.initCause(cause);
        return exception;
    }
}
