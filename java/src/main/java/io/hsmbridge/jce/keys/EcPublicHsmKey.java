package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.util.Map;

/** An EC public key in the HSM. */
public final class EcPublicHsmKey extends PublicHsmKey implements ECPublicKey {
    private static final long serialVersionUID = 1L;

    private final ECPublicKey half;

    EcPublicHsmKey(HsmClient client, Map<?, ?> record, ECPublicKey half) {
        super(client, record, "EC", half.hashCode());
        this.half = half;
    }

    @Override
    public boolean hasPoint(ECPoint point) {
        return getW().equals(point);
    }

    @Override
    public ECPoint getW() {
        return half.getW();
    }

    @Override
    public ECParameterSpec getParams() {
        return half.getParams();
    }
}
