package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.math.BigInteger;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Map;
import java.util.function.Function;

/**
 * An RSA private key in the HSM. {@link #getModulus} and {@link #getPublicExponent} always return a value. Every other
 * getter asks the HSM at each call and returns null unless the HSM permits clear extraction of this key. The providers
 * of the JDK refuse such a key.
 */
public final class CloudHsmRsaPrivateCrtKey extends HsmKey implements RSAPrivateCrtKey {
    private static final long serialVersionUID = 1L;

    private final RSAPublicKey publicKey;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param publicKey software copy of the public key
     */
    public CloudHsmRsaPrivateCrtKey(HsmClient client, Map<?, ?> record, RSAPublicKey publicKey) {
        super(client, record, "RSA");
        this.publicKey = publicKey;
    }

    @Override
    public BigInteger getModulus() {
        return publicKey.getModulus();
    }

    @Override
    public BigInteger getPublicExponent() {
        return publicKey.getPublicExponent();
    }

    @Override
    public BigInteger getPrivateExponent() {
        return part(RSAPrivateCrtKey::getPrivateExponent);
    }

    @Override
    public BigInteger getPrimeP() {
        return part(RSAPrivateCrtKey::getPrimeP);
    }

    @Override
    public BigInteger getPrimeQ() {
        return part(RSAPrivateCrtKey::getPrimeQ);
    }

    @Override
    public BigInteger getPrimeExponentP() {
        return part(RSAPrivateCrtKey::getPrimeExponentP);
    }

    @Override
    public BigInteger getPrimeExponentQ() {
        return part(RSAPrivateCrtKey::getPrimeExponentQ);
    }

    @Override
    public BigInteger getCrtCoefficient() {
        return part(RSAPrivateCrtKey::getCrtCoefficient);
    }

    private BigInteger part(Function<RSAPrivateCrtKey, BigInteger> getter) {
        RSAPrivateCrtKey clear = (RSAPrivateCrtKey) clear();
        return clear == null ? null : getter.apply(clear);
    }

    /**
     * Returns null. The class must define this method because two of its interfaces have a default from JDK 22 on
     * (JDK-8318096).
     */
    @Override
    public AlgorithmParameterSpec getParams() {
        return null;
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
