package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.nio.charset.StandardCharsets;
import java.security.InvalidAlgorithmParameterException;
import java.security.spec.ECParameterSpec;
import java.util.LinkedHashMap;
import java.util.Map;

/** Attribute maps of the public API to those of the protocol. */
public final class Attributes {
    private Attributes() {}

    /** Returns the map's attributes by name, each value in the form of the protocol. */
    public static Map<String, Object> toFields(KeyAttributesMap map) throws InvalidAlgorithmParameterException {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (Map.Entry<KeyAttribute, Object> entry : map.asMap().entrySet()) {
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
        throw new InvalidAlgorithmParameterException("Attribute " + attribute + " cannot be given here");
    }
}
