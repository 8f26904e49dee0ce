package io.hsmbridge.jce.spi;

import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.EdDSAParameterSpec;

/** Parameters of Ed25519 signatures. */
final class EdwardsParameters {
    private EdwardsParameters() {}

    /** Returns whether the parameters are of an Edwards-curve signature. */
    static boolean are(AlgorithmParameterSpec spec) {
        return spec instanceof EdDSAParameterSpec;
    }

    /** Returns whether the parameters select Ed25519 without prehashing and context. */
    static boolean arePlain(AlgorithmParameterSpec spec) {
        EdDSAParameterSpec given = (EdDSAParameterSpec) spec;
        return !given.isPrehash() && given.getContext().isEmpty();
    }
}
