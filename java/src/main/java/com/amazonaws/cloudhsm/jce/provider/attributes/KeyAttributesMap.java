package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.KeySpec;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;

/** A template for one new key, or a search template. Not safe for use by several threads. */
public class KeyAttributesMap implements AlgorithmParameterSpec, KeySpec {
    private final Map<KeyAttribute, Object> values = new EnumMap<>(KeyAttribute.class);

    /** Creates an empty template. */
    public KeyAttributesMap() {}

    /**
     * Sets an attribute and returns its former value, or null.
     *
     * @throws AddAttributeException if the attribute is null, or does not take a value of this type
     */
    public Object put(KeyAttribute attribute, Object value) throws AddAttributeException {
        if (attribute == null || !attribute.takes(value)) {
            throw new AddAttributeException("Attribute " + attribute + " does not take a value of type "
                    + (value == null ? "null" : value.getClass().getSimpleName())
                    + (attribute == null ? "" : ", but " + attribute.type().getSimpleName()));
        }
        return values.put(attribute, value);
    }

    /**
     * Sets every attribute of the other map, in place of former values.
     *
     * @throws AddAttributeException never; declared for compatibility
     */
    public void putAll(KeyAttributesMap other) throws AddAttributeException {
        values.putAll(other.values);
    }

    /** Returns the value of an attribute, or null. */
    public Object get(KeyAttribute attribute) {
        return values.get(attribute);
    }

    /** Removes an attribute and returns its value, or null. */
    public Object remove(KeyAttribute attribute) {
        return values.remove(attribute);
    }

    /** Returns a read-only view of the attributes. */
    public Map<KeyAttribute, Object> asMap() {
        return Collections.unmodifiableMap(values);
    }
}
