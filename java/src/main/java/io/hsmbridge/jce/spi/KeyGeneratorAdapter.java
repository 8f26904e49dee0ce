package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidParameterException;
import java.security.SecureRandom;
import java.security.spec.AlgorithmParameterSpec;
import java.util.HashMap;
import java.util.Map;
import javax.crypto.KeyGeneratorSpi;
import javax.crypto.SecretKey;

/** Generates secret keys in the HSM. Sizes are in bits; the HSM has a default for each attribute. */
final class KeyGeneratorAdapter extends KeyGeneratorSpi {
    private final HsmClient client;
    private final Row row;
    private Map<String, Object> attributes = Map.of();

    KeyGeneratorAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    @Override
    protected void engineInit(SecureRandom random) {
        attributes = Map.of();
    }

    @Override
    protected void engineInit(int bits, SecureRandom random) {
        if (!row.takes(bits)) {
            throw new InvalidParameterException(row.wrongSize(bits));
        }
        attributes = Map.of("SIZE", bits);
    }

    @Override
    protected void engineInit(AlgorithmParameterSpec spec, SecureRandom random)
            throws InvalidAlgorithmParameterException {
        if (!(spec instanceof KeyAttributesMap)) {
            throw new InvalidAlgorithmParameterException("Key generation takes a KeyAttributesMap, not "
                    + (spec == null ? "null" : spec.getClass().getName()));
        }
        Map<String, Object> template = Attributes.toFields((KeyAttributesMap) spec);
        if (template.get("SIZE") instanceof Integer && !row.takes((Integer) template.get("SIZE"))) {
            throw new InvalidAlgorithmParameterException(row.wrongSize((Integer) template.get("SIZE")));
        }
        attributes = template;
    }

    @Override
    protected SecretKey engineGenerateKey() {
        try {
            Object record = client.call(Operation.GENERATE_KEY, row.mechanism(), sized()).get(0);
            return Keys.secret(client, record, row.algorithm());
        } catch (HsmException e) {
            throw Errors.generation(e);
        }
    }

    /** Adds the default size where there is one: an HMAC key without a size is as long as the MAC. */
    private Map<String, Object> sized() {
        if (attributes.containsKey("SIZE") || row.get("bits") == null) {
            return attributes;
        }
        Map<String, Object> sized = new HashMap<>(attributes);
        sized.put("SIZE", row.number("bits"));
        return sized;
    }
}
