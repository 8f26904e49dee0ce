package io.hsmbridge.jce.spi;

import java.io.IOException;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.spec.AlgorithmParameterSpec;

/** Curves by name or numbers to the DER object identifiers of {@code EC_PARAMS}; the JDK knows both. */
final class Curves {
    private Curves() {}

    /** Returns the DER object identifier of a curve given as ECGenParameterSpec or ECParameterSpec. */
    static byte[] encode(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        try {
            AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC", "SunEC");
            parameters.init(spec);
            return parameters.getEncoded();
        } catch (GeneralSecurityException | IOException e) {
            throw new InvalidAlgorithmParameterException("Not a named curve: " + e.getMessage(), e);
        }
    }
}
