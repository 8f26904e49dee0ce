package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.util.Map;
import javax.crypto.SecretKey;

/** A secret key in the HSM. */
public final class SecretHsmKey extends HsmKey implements SecretKey {
    private static final long serialVersionUID = 1L;

    SecretHsmKey(HsmClient client, Map<?, ?> record, String algorithm) {
        super(client, record, algorithm);
    }

    @Override
    protected String clearFormat() {
        return "RAW";
    }
}
