package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmException;
import java.security.ProviderException;

/**
 * Whether a failure has ended the message of an engine. The data of earlier calls is gone then. Only {@code init} begins
 * another message, so that a call that is repeated does not return the result of a part of the data.
 */
final class LostMessage {
    private Exception failure;

    /** Sends data of the message and returns the HSM's answer. */
    interface Part<T> {
        T send() throws HsmException;
    }

    /**
     * Sends a part, unless the message is lost. It is lost if this fails for another reason than the data itself.
     *
     * @throws HsmException if the HSM refuses
     * @throws ProviderException if the message is lost
     */
    <T> T sent(Part<T> part) throws HsmException {
        require();
        try {
            return part.send();
        } catch (HsmException e) {
            failure = Errors.isOfData(e) ? null : e;
            throw e;
        } catch (RuntimeException e) {
            failure = e;
            throw e;
        }
    }

    /**
     * Checks that the message is not lost.
     *
     * @throws ProviderException if it is
     */
    void require() {
        if (failure != null) {
            throw new ProviderException(
                    "The message is lost, call init and pass all of it again: " + failure.getMessage(), failure);
        }
    }

    /** Begins another message. */
    void begin() {
        failure = null;
    }
}
