package com.amazonaws.cloudhsm.jce.provider;

/**
 * Input of the PRF of a derivation in counter mode (NIST SP 800-108r1, 4.1): for each block the prefix, the counter in
 * big-endian order, and the suffix. The caller encodes label, separator, context and length in prefix and suffix.
 */
public class AesCmacKdfFixedInputData {
    private static final byte[] NOTHING = {};

    private final int counterWidthInBits;
    private final byte[] prefix;
    private final byte[] suffix;

    /**
     * Creates the input data; copies the arrays.
     *
     * @param counterWidthInBits width of the counter, in bits: 8, 16, 24 or 32
     * @param prefix bytes before the counter, or null for none
     * @param suffix bytes after the counter, or null for none
     * @throws IllegalArgumentException if the width is another
     */
    public AesCmacKdfFixedInputData(int counterWidthInBits, byte[] prefix, byte[] suffix) {
        if (counterWidthInBits < 8 || counterWidthInBits > 32 || counterWidthInBits % 8 != 0) {
            throw new IllegalArgumentException("The width of the counter must be 8, 16, 24 or 32 bits, not " + counterWidthInBits);
        }
        this.counterWidthInBits = counterWidthInBits;
        this.prefix = prefix == null ? NOTHING : prefix.clone();
        this.suffix = suffix == null ? NOTHING : suffix.clone();
    }

    /** Returns the width of the counter, in bits. */
    public int getCounterWidthInBits() {
        return counterWidthInBits;
    }

    /** Returns a copy of the bytes before the counter; empty if there are none. */
    public byte[] getPrefix() {
        return prefix.clone();
    }

    /** Returns a copy of the bytes after the counter; empty if there are none. */
    public byte[] getSuffix() {
        return suffix.clone();
    }
}
