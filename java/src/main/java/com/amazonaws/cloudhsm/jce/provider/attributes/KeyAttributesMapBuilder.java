package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;

/** Builds a {@link KeyAttributesMap}. */
public class KeyAttributesMapBuilder {
    private final KeyAttributesMap map = new KeyAttributesMap();

    /** Creates a builder without attributes. */
    public KeyAttributesMapBuilder() {}

    /**
     * Sets an attribute; see {@link KeyAttributesMap#put}.
     *
     * @throws AddAttributeException if the attribute does not take a value of this type
     */
    public KeyAttributesMapBuilder put(KeyAttribute attribute, Object value) throws AddAttributeException {
        map.put(attribute, value);
        return this;
    }

    /**
     * Returns a copy of the attributes set so far.
     *
     * @throws AddAttributeException never; declared for compatibility
     */
    public KeyAttributesMap build() throws AddAttributeException {
        KeyAttributesMap copy = new KeyAttributesMap();
        copy.putAll(map);
        return copy;
    }
}
