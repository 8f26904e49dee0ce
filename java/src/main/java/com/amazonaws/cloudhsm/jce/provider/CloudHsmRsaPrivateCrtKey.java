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
 * An RSA private key in the HSM. Modulus and public exponent are always there; every other part is null unless the HSM
 * lets the key's material out in the clear, and is then asked for each time. The JDK's own providers decline such a key.
 */
public final class CloudHsmRsaPrivateCrtKey extends HsmKey implements RSAPrivateCrtKey {
    private static final long serialVersionUID = 1L;

    private final RSAPublicKey half;

    /** Makes the object of a key record; {@code half} is its public half. */
    public CloudHsmRsaPrivateCrtKey(HsmClient client, Map<?, ?> record, RSAPublicKey half) {
        super(client, record, "RSA");
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

    /** Defined here because from JDK 22 on two interfaces have a default of it (JDK-8318096). */
    @Override
    public AlgorithmParameterSpec getParams() {
        return null;
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
