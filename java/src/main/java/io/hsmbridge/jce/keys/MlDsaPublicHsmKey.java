package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.util.Arrays;
import java.util.Map;

/** An ML-DSA public key in the HSM: the JDK knows ML-DSA from release 24 on only. */
public final class MlDsaPublicHsmKey extends PublicHsmKey {
    private static final long serialVersionUID = 1L;

    MlDsaPublicHsmKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "ML-DSA", Arrays.hashCode((byte[]) record.get("PUBLIC_KEY_INFO")));
    }
}
