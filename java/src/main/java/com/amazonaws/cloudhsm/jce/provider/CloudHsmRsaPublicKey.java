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

    private final RSAPublicKey half;

    /** Makes the object of a key record. */
    public CloudHsmRsaPublicKey(HsmClient client, Map<?, ?> record, RSAPublicKey half) {
        super(client, record, "RSA", half.hashCode());
        this.half = half;
    }

    @Override
    public BigInteger getModulus() {
        return half.getModulus();
    }

    @Override
    public BigInteger getPublicExponent() {
        return half.getPublicExponent();
    }

    /** Defined here because from JDK 22 on two interfaces have a default of it (JDK-8318096). */
    @Override
    public AlgorithmParameterSpec getParams() {
        return null;
    }
}
