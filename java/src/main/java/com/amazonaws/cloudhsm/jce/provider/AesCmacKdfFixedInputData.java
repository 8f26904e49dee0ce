package com.amazonaws.cloudhsm.jce.provider;

/**
 * What a derivation in counter mode (NIST SP 800-108r1, 4.1) feeds to its PRF: for each block the prefix, the counter
 * in big-endian order, and the suffix. The caller puts label, separator, context and length where they belong.
 */
public class AesCmacKdfFixedInputData {
    private static final byte[] NOTHING = {};

    private final int counterWidthInBits;
    private final byte[] prefix;
    private final byte[] suffix;

    /**
     * Makes one; the arrays are copied.
     *
     * @param counterWidthInBits width of the counter, in bits: 8, 16, 24 or 32
     * @param prefix what comes before the counter, or null for nothing
     * @param suffix what comes after the counter, or null for nothing
     * @throws IllegalArgumentException for another width
     */
    public AesCmacKdfFixedInputData(int counterWidthInBits, byte[] prefix, byte[] suffix) {
        if (counterWidthInBits < 8 || counterWidthInBits > 32 || counterWidthInBits % 8 != 0) {
            throw new IllegalArgumentException("A counter is 8, 16, 24 or 32 bits wide, not " + counterWidthInBits);
        }
        this.counterWidthInBits = counterWidthInBits;
        this.prefix = prefix == null ? NOTHING : prefix.clone();
        this.suffix = suffix == null ? NOTHING : suffix.clone();
    }

    /** Returns the width of the counter, in bits. */
    public int getCounterWidthInBits() {
        return counterWidthInBits;
    }

    /** Returns a copy of what comes before the counter; empty where it was null. */
    public byte[] getPrefix() {
        return prefix.clone();
    }

    /** Returns a copy of what comes after the counter; empty where it was null. */
    public byte[] getSuffix() {
        return suffix.clone();
    }
}
