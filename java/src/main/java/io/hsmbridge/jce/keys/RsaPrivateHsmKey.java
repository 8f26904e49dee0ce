package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.math.BigInteger;
import java.security.PrivateKey;
import java.security.interfaces.RSAKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Map;

/** An RSA private key in the HSM. It is an {@link RSAKey}, since TLS asks for the modulus, and no RSAPrivateKey. */
public final class RsaPrivateHsmKey extends HsmKey implements PrivateKey, RSAKey {
    private static final long serialVersionUID = 1L;

    private final BigInteger modulus;

    RsaPrivateHsmKey(HsmClient client, Map<?, ?> record, RSAPublicKey half) {
        super(client, record, "RSA");
        modulus = half.getModulus();
    }

    @Override
    public BigInteger getModulus() {
        return modulus;
    }

    /** Defined here because from JDK 22 on two interfaces have a default of it (JDK-8318096). */
    @Override
    public AlgorithmParameterSpec getParams() {
        return null;
    }

    @Override
    String clearFormat() {
        return "PKCS#8";
    }
}
