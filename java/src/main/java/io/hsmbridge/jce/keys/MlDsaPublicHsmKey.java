package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PublicKey;
import java.util.Arrays;
import java.util.Map;

/** An ML-DSA public key in the HSM, as its encoding: the JDK knows ML-DSA from release 24 on only. */
public final class MlDsaPublicHsmKey extends HsmKey implements PublicKey {
    private static final long serialVersionUID = 1L;

    private final byte[] encoded;

    MlDsaPublicHsmKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "ML-DSA");
        encoded = (byte[]) record.get("PUBLIC_KEY_INFO");
    }

    @Override
    public byte[] getEncoded() {
        return encoded.clone();
    }

    @Override
    protected String clearFormat() {
        return "X.509";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PublicKey && Arrays.equals(encoded, ((PublicKey) other).getEncoded());
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(encoded);
    }
}
