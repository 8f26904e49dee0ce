package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;

/** Builds a {@link KeyPairAttributesMap}. */
public class KeyPairAttributesMapBuilder {
    private final KeyPairAttributesMap pair = new KeyPairAttributesMap();

    /** Begins with no attributes. */
    public KeyPairAttributesMapBuilder() {}

    /** Sets every attribute of the map on the public half. */
    public KeyPairAttributesMapBuilder withPublic(KeyAttributesMap map) throws AddAttributeException {
        pair.getPublic().putAll(map);
        return this;
    }

    /** Sets one attribute of the public half. */
    public KeyPairAttributesMapBuilder withPublic(KeyAttribute attribute, Object value) throws AddAttributeException {
        pair.getPublic().put(attribute, value);
        return this;
    }

    /** Sets every attribute of the map on the private half. */
    public KeyPairAttributesMapBuilder withPrivate(KeyAttributesMap map) throws AddAttributeException {
        pair.getPrivate().putAll(map);
        return this;
    }

    /** Sets one attribute of the private half. */
    public KeyPairAttributesMapBuilder withPrivate(KeyAttribute attribute, Object value) throws AddAttributeException {
        pair.getPrivate().put(attribute, value);
        return this;
    }

    /** Returns a pair of maps with the attributes so far. */
    public KeyPairAttributesMap build() throws AddAttributeException {
        KeyPairAttributesMap copy = new KeyPairAttributesMap();
        copy.putAll(pair);
        return copy;
    }
}
