package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.PublicHsmKey;
import java.util.Arrays;
import java.util.Map;

/** An ML-DSA public key in the HSM: the JDK knows ML-DSA from release 24 on only. */
public final class CloudHsmMlDsaPublicKey extends PublicHsmKey {
    private static final long serialVersionUID = 1L;

    /** Makes the object of a key record. */
    public CloudHsmMlDsaPublicKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "ML-DSA", Arrays.hashCode((byte[]) record.get("PUBLIC_KEY_INFO")));
    }
}
