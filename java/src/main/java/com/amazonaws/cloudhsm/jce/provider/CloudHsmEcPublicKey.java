package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.PublicHsmKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.util.Map;

/** An EC public key in the HSM. */
public final class CloudHsmEcPublicKey extends PublicHsmKey implements ECPublicKey {
    private static final long serialVersionUID = 1L;

    private final ECPublicKey software;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param software the same key as an object of the JDK
     */
    public CloudHsmEcPublicKey(HsmClient client, Map<?, ?> record, ECPublicKey software) {
        super(client, record, "EC", software.hashCode());
        this.software = software;
    }

    @Override
    public boolean hasPoint(ECPoint point) {
        return getW().equals(point);
    }

    @Override
    public ECPoint getW() {
        return software.getW();
    }

    @Override
    public ECParameterSpec getParams() {
        return software.getParams();
    }
}
