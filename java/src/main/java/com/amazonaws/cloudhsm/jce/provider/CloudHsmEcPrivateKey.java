package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.PrivateKey;
import java.security.interfaces.ECKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.util.Map;

/**
 * An EC private key in the HSM. It does not implement ECPrivateKey, because SunEC would accept it and then fail to
 * sign.
 */
public class CloudHsmEcPrivateKey extends HsmKey implements PrivateKey, ECKey {
    private static final long serialVersionUID = 1L;

    private final transient ECPublicKey publicKey;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param publicKey software copy of the public key
     */
    public CloudHsmEcPrivateKey(HsmClient client, Map<?, ?> record, ECPublicKey publicKey) {
        super(client, record, "EC");
        this.publicKey = publicKey;
    }

    @Override
    public ECParameterSpec getParams() {
        return publicKey.getParams();
    }

    @Override
    public boolean hasPoint(ECPoint point) {
        return publicKey.getW().equals(point);
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
