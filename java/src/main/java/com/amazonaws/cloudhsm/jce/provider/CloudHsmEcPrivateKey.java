package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.PrivateKey;
import java.security.interfaces.ECKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.util.Map;

/** An EC private key in the HSM. It is no ECPrivateKey: SunEC would take it for its own, and fail when it signs. */
public class CloudHsmEcPrivateKey extends HsmKey implements PrivateKey, ECKey {
    private static final long serialVersionUID = 1L;

    private final transient ECPublicKey half;

    /** Makes the object of a key record. */
    public CloudHsmEcPrivateKey(HsmClient client, Map<?, ?> record, ECPublicKey half) {
        super(client, record, "EC");
        this.half = half;
    }

    @Override
    public ECParameterSpec getParams() {
        return half.getParams();
    }

    @Override
    public boolean hasPoint(ECPoint point) {
        return half.getW().equals(point);
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
