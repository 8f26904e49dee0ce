package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.AesCmacKdfParameterSpec;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.util.HashMap;
import java.util.Map;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactorySpi;
import javax.crypto.spec.DESedeKeySpec;
import javax.crypto.spec.SecretKeySpec;

/** Imports secret keys from bytes, and derives secret keys in the HSM from another key. */
final class SecretKeyFactoryAdapter extends SecretKeyFactorySpi {
    private final HsmClient client;
    private final Row row;

    SecretKeyFactoryAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    @Override
    protected SecretKey engineGenerateSecret(KeySpec spec) throws InvalidKeySpecException {
        if (spec instanceof AesCmacKdfParameterSpec) {
            return derive((AesCmacKdfParameterSpec) spec);
        }
        if (spec instanceof KeyAttributesMap) {
            Components components = new Components((KeyAttributesMap) spec);
            byte[] value = components.value();
            return importKey(components.rest(), value);
        }
        if (spec instanceof SecretKeySpec) {
            return importKey(Map.of(), ((SecretKeySpec) spec).getEncoded());
        }
        if (spec instanceof DESedeKeySpec) {
            return importKey(Map.of(), ((DESedeKeySpec) spec).getKey());
        }
        throw new InvalidKeySpecException(row.algorithm() + " keys cannot be imported from "
                + (spec == null ? "null" : spec.getClass().getName()));
    }

    private SecretKey importKey(Map<KeyAttribute, Object> template, byte[] material) throws InvalidKeySpecException {
        Map<String, Object> attributes = Attributes.ofImport(template, "SECRET_KEY", row.get("type"));
        try {
            return Keys.secret(client, client.call(Operation.IMPORT_KEY, attributes, material).get(0), row.algorithm());
        } catch (HsmException e) {
            throw Errors.invalidKeySpec(e);
        }
    }

    private SecretKey derive(AesCmacKdfParameterSpec spec) throws InvalidKeySpecException {
        Map<String, Object> parameters = new HashMap<>();
        parameters.put("counter_bits", (long) spec.getFixedInputData().getCounterWidthInBits());
        parameters.put("prefix", spec.getFixedInputData().getPrefix());
        parameters.put("suffix", spec.getFixedInputData().getSuffix());
        try {
            Object base = KeyArguments.own(client, spec.getBaseKey(), null, "DERIVE", "key derivation");
            return Derivation.run(client, base, row.get("kdf"), parameters, spec.getDerivedKeyAttributes(), row);
        } catch (InvalidKeyException | InvalidAlgorithmParameterException e) {
            throw new InvalidKeySpecException(e.getMessage(), e);
        } catch (HsmException e) {
            throw Errors.invalidKeySpec(e);
        }
    }

    @Override
    protected KeySpec engineGetKeySpec(SecretKey key, Class<?> specClass) throws InvalidKeySpecException {
        byte[] encoded = key == null ? null : key.getEncoded();
        if (encoded == null) {
            throw new InvalidKeySpecException("The key does not leave the HSM: " + key);
        }
        try {
            if (specClass != null && specClass.isAssignableFrom(SecretKeySpec.class)) {
                return new SecretKeySpec(encoded, row.algorithm());
            }
            if (specClass == DESedeKeySpec.class) {
                return new DESedeKeySpec(encoded);
            }
        } catch (InvalidKeyException e) {
            throw new InvalidKeySpecException(e.getMessage(), e);
        }
        throw new InvalidKeySpecException("A key has no specification of " + specClass);
    }

    @Override
    protected SecretKey engineTranslateKey(SecretKey key) throws InvalidKeyException {
        if (key instanceof HsmKey && ((HsmKey) key).belongsTo(client)) {
            return KeyArguments.ofType(key, row.get("type"));
        }
        byte[] encoded = key == null ? null : key.getEncoded();
        if (encoded == null) {
            throw new InvalidKeyException("Only a key with an encoding can be translated, not " + key);
        }
        try {
            return importKey(Map.of(), encoded);
        } catch (InvalidKeySpecException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }
}
