package io.hsmbridge.jce.spi;

import java.io.IOException;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.InvalidKeySpecException;

/** Curves by name or numbers to the DER object identifiers of {@code EC_PARAMS} and back; the JDK knows both. */
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

    /** Returns the parameters of a curve, given as its DER object identifier. */
    static ECParameterSpec decode(byte[] identifier) throws InvalidKeySpecException {
        try {
            AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC", "SunEC");
            parameters.init(identifier);
            return parameters.getParameterSpec(ECParameterSpec.class);
        } catch (GeneralSecurityException | IOException e) {
            throw new InvalidKeySpecException("EC_PARAMS is not a named curve: " + e.getMessage(), e);
        }
    }
}
