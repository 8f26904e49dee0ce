package io.hsmbridge.jce.spi;

import java.io.IOException;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.InvalidKeySpecException;

/**
 * Converts curves between their names or numbers and the DER object identifiers of {@code EC_PARAMS}, with the JDK's
 * tables.
 */
final class Curves {
    private Curves() {}

    /**
     * Returns the DER object identifier of an ECGenParameterSpec or ECParameterSpec.
     *
     * @throws InvalidAlgorithmParameterException if it is not a named curve that the JDK knows
     */
    static byte[] encode(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        try {
            AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC", "SunEC");
            parameters.init(spec);
            return parameters.getEncoded();
        } catch (GeneralSecurityException | IOException e) {
            throw new InvalidAlgorithmParameterException("The curve is not a named curve: " + e.getMessage(), e);
        }
    }

    /**
     * Returns the parameters of the curve with this DER object identifier.
     *
     * @throws InvalidKeySpecException if it is not a named curve that the JDK knows
     */
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
