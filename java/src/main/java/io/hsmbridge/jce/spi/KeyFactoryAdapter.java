package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyFactorySpi;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Map;

/** Imports keys as session keys. The JDK converts a specification to the encoding that the HSM accepts. */
final class KeyFactoryAdapter extends KeyFactorySpi {
    private final HsmClient client;
    private final Row row;

    KeyFactoryAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    @Override
    protected PublicKey engineGeneratePublic(KeySpec spec) throws InvalidKeySpecException {
        Map<KeyAttribute, Object> attributes = Map.of();
        KeySpec numbers = spec;
        if (spec instanceof KeyAttributesMap) {
            Components components = new Components((KeyAttributesMap) spec);
            numbers = components.publicKey(row.algorithm());
            attributes = components.rest();
        }
        return (PublicKey) importKey("PUBLIC_KEY", attributes, publicEncoding(numbers));
    }

    @Override
    protected PrivateKey engineGeneratePrivate(KeySpec spec) throws InvalidKeySpecException {
        Map<KeyAttribute, Object> attributes = Map.of();
        KeySpec numbers = spec;
        if (spec instanceof KeyAttributesMap) {
            Components components = new Components((KeyAttributesMap) spec);
            numbers = components.privateKey(row.algorithm());
            attributes = components.rest();
        }
        return (PrivateKey) importKey("PRIVATE_KEY", attributes, privateEncoding(numbers));
    }

    private byte[] publicEncoding(KeySpec spec) throws InvalidKeySpecException {
        return spec instanceof X509EncodedKeySpec ? ((X509EncodedKeySpec) spec).getEncoded()
                : software(factory -> factory.generatePublic(spec));
    }

    private byte[] privateEncoding(KeySpec spec) throws InvalidKeySpecException {
        if (spec instanceof ECPrivateKeySpec) {
            requireInRange((ECPrivateKeySpec) spec);
        }
        return spec instanceof PKCS8EncodedKeySpec ? ((PKCS8EncodedKeySpec) spec).getEncoded()
                : software(factory -> factory.generatePrivate(spec));
    }

    /**
     * Checks the private value, because the JDK truncates one that is longer than the order, and so imports another
     * key.
     */
    private static void requireInRange(ECPrivateKeySpec spec) throws InvalidKeySpecException {
        if (spec.getS().signum() <= 0 || spec.getS().compareTo(spec.getParams().getOrder()) >= 0) {
            throw new InvalidKeySpecException("The private value is not between 1 and the order of the curve");
        }
    }

    /** A conversion by the JDK's own key factory. */
    private interface Conversion {
        Key apply(KeyFactory factory) throws GeneralSecurityException;
    }

    private byte[] software(Conversion conversion) throws InvalidKeySpecException {
        try {
            return conversion.apply(Keys.software(row.algorithm())).getEncoded();
        } catch (InvalidKeySpecException e) {
            throw e;
        } catch (GeneralSecurityException | NullPointerException e) {
            // The JDK's RSA factory dereferences the numbers of a specification before it checks for null.
            throw new InvalidKeySpecException("The specification does not describe a key: " + e.getMessage(), e);
        }
    }

    private HsmKey importKey(String objectClass, Map<KeyAttribute, Object> template, byte[] material)
            throws InvalidKeySpecException {
        Map<String, Object> attributes = Attributes.ofImport(template, objectClass, row.get("type"));
        try {
            return Keys.imported(client, client.call(Operation.IMPORT_KEY, attributes, material).get(0));
        } catch (HsmException e) {
            throw Errors.invalidKeySpec(e);
        }
    }

    @Override
    protected <T extends KeySpec> T engineGetKeySpec(Key key, Class<T> specClass) throws InvalidKeySpecException {
        byte[] encoded = key == null ? null : key.getEncoded();
        if (encoded == null || specClass == null) {
            throw new InvalidKeySpecException(specClass == null ? "The class of the specification is null"
                    : "The key does not leave the HSM: " + key);
        }
        if (key instanceof PublicKey && specClass.isAssignableFrom(X509EncodedKeySpec.class)) {
            return specClass.cast(new X509EncodedKeySpec(encoded));
        }
        try {
            KeyFactory factory = Keys.software(row.algorithm());
            Key copy = key instanceof PublicKey ? factory.generatePublic(new X509EncodedKeySpec(encoded))
                    : factory.generatePrivate(new PKCS8EncodedKeySpec(encoded));
            return factory.getKeySpec(copy, specClass);
        } catch (GeneralSecurityException e) {
            throw new InvalidKeySpecException(e.getMessage(), e);
        }
    }

    @Override
    protected Key engineTranslateKey(Key key) throws InvalidKeyException {
        if (key instanceof HsmKey && ((HsmKey) key).belongsTo(client)) {
            return KeyArguments.ofType(key, row.get("type"));
        }
        byte[] encoded = key == null ? null : key.getEncoded();
        if (encoded == null || !key.getAlgorithm().equals(row.get("key"))) {
            throw new InvalidKeyException("Only " + row.get("key") + " keys with an encoding can be translated");
        }
        try {
            return importKey(key instanceof PublicKey ? "PUBLIC_KEY" : "PRIVATE_KEY", Map.of(), encoded);
        } catch (InvalidKeySpecException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }
}
