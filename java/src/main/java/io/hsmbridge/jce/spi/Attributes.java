package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.nio.charset.StandardCharsets;
import java.security.InvalidAlgorithmParameterException;
import java.security.spec.ECParameterSpec;
import java.security.spec.InvalidKeySpecException;
import java.util.LinkedHashMap;
import java.util.Map;

/** Converts attribute maps of the public API to those of the protocol. */
public final class Attributes {
    private Attributes() {}

    /**
     * Returns the map's attributes by name, each value in the encoding of the protocol.
     *
     * @throws InvalidAlgorithmParameterException if a value has no encoding, or a curve is not a named curve
     */
    public static Map<String, Object> toFields(KeyAttributesMap map) throws InvalidAlgorithmParameterException {
        return toFields(map.asMap());
    }

    /**
     * Returns the template of a key to import, with its class and type added.
     *
     * @throws InvalidKeySpecException if the template has another class or type
     */
    static Map<String, Object> ofImport(Map<KeyAttribute, Object> template, String objectClass, String keyType)
            throws InvalidKeySpecException {
        try {
            Map<String, Object> fields = toFields(template);
            requireSame(fields.put("OBJECT_CLASS", objectClass), objectClass);
            requireSame(fields.put("KEY_TYPE", keyType), keyType);
            return fields;
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidKeySpecException(e.getMessage(), e);
        }
    }

    private static void requireSame(Object actual, String expected) throws InvalidKeySpecException {
        if (actual != null && !actual.equals(expected)) {
            throw new InvalidKeySpecException("The attributes of the key must name " + expected + ", not " + actual);
        }
    }

    private static Map<String, Object> toFields(Map<KeyAttribute, Object> map) throws InvalidAlgorithmParameterException {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (Map.Entry<KeyAttribute, Object> entry : map.entrySet()) {
            fields.put(entry.getKey().name(), toField(entry.getKey(), entry.getValue()));
        }
        return fields;
    }

    private static Object toField(KeyAttribute attribute, Object value) throws InvalidAlgorithmParameterException {
        if (value instanceof Enum) {
            return ((Enum<?>) value).name();
        }
        if (attribute == KeyAttribute.ID && value instanceof String) {
            return ((String) value).getBytes(StandardCharsets.UTF_8);
        }
        if (value instanceof ECParameterSpec) {
            return Curves.encode((ECParameterSpec) value);
        }
        if (value instanceof String || value instanceof Boolean || value instanceof Integer || value instanceof byte[]) {
            return value;
        }
        throw new InvalidAlgorithmParameterException("A template does not take the attribute " + attribute);
    }
}
