package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.wire.Operation;
import javax.crypto.Cipher;

/** The modes of a cipher; the name of each is the key attribute that permits it. */
enum Mode {
    ENCRYPT(Cipher.ENCRYPT_MODE, "E", Operation.ENCRYPT),
    DECRYPT(Cipher.DECRYPT_MODE, "D", Operation.DECRYPT),
    WRAP(Cipher.WRAP_MODE, "W", Operation.WRAP_KEY),
    UNWRAP(Cipher.UNWRAP_MODE, "U", Operation.UNWRAP_KEY);

    private final int number;
    private final String letter;
    private final int request;

    Mode(int number, String letter, int request) {
        this.number = number;
        this.letter = letter;
        this.request = request;
    }

    /**
     * Returns the mode with the number of {@link Cipher}.
     *
     * @throws UnsupportedOperationException if the transformation does not have it
     */
    static Mode of(int number, Row row) {
        for (Mode mode : values()) {
            if (mode.number == number && row.get("modes").contains(mode.letter)) {
                return mode;
            }
        }
        throw new UnsupportedOperationException(row.algorithm() + " supports " + row.get("modes")
                + " only (E encrypt, D decrypt, W wrap, U unwrap)");
    }

    /** Returns the protocol's operation number for one request in this mode. */
    int request() {
        return request;
    }

    /** Returns whether the result is a ciphertext. */
    boolean encrypts() {
        return this == ENCRYPT || this == WRAP;
    }
}
