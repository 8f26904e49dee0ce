package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PublicKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.util.Map;

/** An EC public key in the HSM; equal to a software key with the same encoding. */
public final class EcPublicHsmKey extends HsmKey implements ECPublicKey {
    private static final long serialVersionUID = 1L;

    private final ECPublicKey half;

    EcPublicHsmKey(HsmClient client, Map<?, ?> record, ECPublicKey half) {
        super(client, record, "EC");
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

    @Override
    public byte[] getEncoded() {
        return half.getEncoded();
    }

    @Override
    protected String clearFormat() {
        return "X.509";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PublicKey && half.equals(other instanceof EcPublicHsmKey ? ((EcPublicHsmKey) other).half : other);
    }

    @Override
    public int hashCode() {
        return half.hashCode();
    }
}
