package io.hsmbridge.jce.spi;

import java.security.spec.AlgorithmParameterSpec;

/** Parameters of Ed25519 signatures, which Java 11 does not have. */
final class EdwardsParameters {
    private EdwardsParameters() {}

    /** Returns whether the parameters are of an Edwards-curve signature. */
    static boolean are(AlgorithmParameterSpec spec) {
        return false;
    }

    /** Returns whether the parameters select Ed25519 without prehashing and context. */
    static boolean arePlain(AlgorithmParameterSpec spec) {
        return false;
    }
}
