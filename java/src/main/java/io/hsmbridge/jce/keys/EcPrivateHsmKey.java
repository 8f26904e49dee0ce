package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PrivateKey;
import java.security.interfaces.ECKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.util.Map;

/** An EC private key in the HSM. It is no ECPrivateKey: SunEC would take it for its own, and fail when it signs. */
class EcPrivateHsmKey extends HsmKey implements PrivateKey, ECKey {
    private static final long serialVersionUID = 1L;

    private final transient ECPublicKey half;

    EcPrivateHsmKey(HsmClient client, Map<?, ?> record, ECPublicKey half) {
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
