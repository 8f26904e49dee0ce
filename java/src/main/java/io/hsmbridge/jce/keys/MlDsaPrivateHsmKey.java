package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PrivateKey;
import java.util.Map;

/** An ML-DSA private key in the HSM. */
public final class MlDsaPrivateHsmKey extends HsmKey implements PrivateKey {
    private static final long serialVersionUID = 1L;

    MlDsaPrivateHsmKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "ML-DSA");
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
