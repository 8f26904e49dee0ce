package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;

/** Builds a {@link KeyAttributesMap}. */
public class KeyAttributesMapBuilder {
    private final KeyAttributesMap map = new KeyAttributesMap();

    /** Begins with no attributes. */
    public KeyAttributesMapBuilder() {}

    /** Sets an attribute; see {@link KeyAttributesMap#put}. */
    public KeyAttributesMapBuilder put(KeyAttribute attribute, Object value) throws AddAttributeException {
        map.put(attribute, value);
        return this;
    }

    /** Returns a map with the attributes so far. */
    public KeyAttributesMap build() throws AddAttributeException {
        KeyAttributesMap copy = new KeyAttributesMap();
        copy.putAll(map);
        return copy;
    }
}
