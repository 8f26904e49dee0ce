package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.PublicHsmKey;
import java.math.BigInteger;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Map;

/** An RSA public key in the HSM. */
public final class CloudHsmRsaPublicKey extends PublicHsmKey implements RSAPublicKey {
    private static final long serialVersionUID = 1L;

    private final RSAPublicKey software;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param software the same key as an object of the JDK
     */
    public CloudHsmRsaPublicKey(HsmClient client, Map<?, ?> record, RSAPublicKey software) {
        super(client, record, "RSA", software.hashCode());
        this.software = software;
    }

    @Override
    public BigInteger getModulus() {
        return software.getModulus();
    }

    @Override
    public BigInteger getPublicExponent() {
        return software.getPublicExponent();
    }

    /**
     * Returns null. The class must define this method because two of its interfaces have a default from JDK 22 on
     * (JDK-8318096).
     */
    @Override
    public AlgorithmParameterSpec getParams() {
        return null;
    }
}
