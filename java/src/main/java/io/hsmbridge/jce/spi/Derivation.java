package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.security.InvalidAlgorithmParameterException;
import java.util.Map;
import javax.crypto.SecretKey;

/** The request that derives a key. */
final class Derivation {
    private Derivation() {}

    /**
     * Returns a new key, derived in the HSM, of the type in a SecretKeyFactory's row.
     *
     * @param template attributes of the new key
     */
    static SecretKey run(HsmClient client, Object base, String mechanism, Map<String, Object> parameters,
            KeyAttributesMap template, Row factory) throws HsmException, InvalidAlgorithmParameterException {
        return run(client, base, mechanism, parameters, Attributes.toFields(template), factory);
    }

    static SecretKey run(HsmClient client, Object base, String mechanism, Map<String, Object> parameters,
            Map<String, Object> attributes, Row factory) throws HsmException, InvalidAlgorithmParameterException {
        attributes.putIfAbsent("KEY_TYPE", factory.get("type"));
        if (!attributes.get("KEY_TYPE").equals(factory.get("type"))) {
            throw new InvalidAlgorithmParameterException(
                    "KEY_TYPE " + attributes.get("KEY_TYPE") + " is not that of a key for " + factory.algorithm());
        }
        Object record = client.call(Operation.DERIVE_KEY, base, mechanism, parameters, attributes).get(0);
        return Keys.secret(client, record, factory.algorithm());
    }
}
