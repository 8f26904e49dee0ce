package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;

/** Builds a {@link KeyPairAttributesMap}. */
public class KeyPairAttributesMapBuilder {
    private final KeyPairAttributesMap pair = new KeyPairAttributesMap();

    /** Creates a builder without attributes. */
    public KeyPairAttributesMapBuilder() {}

    /**
     * Sets every attribute of the map on the public key.
     *
     * @throws AddAttributeException never; declared for compatibility
     */
    public KeyPairAttributesMapBuilder withPublic(KeyAttributesMap map) throws AddAttributeException {
        pair.getPublic().putAll(map);
        return this;
    }

    /**
     * Sets one attribute of the public key.
     *
     * @throws AddAttributeException if the attribute does not take a value of this type
     */
    public KeyPairAttributesMapBuilder withPublic(KeyAttribute attribute, Object value) throws AddAttributeException {
        pair.getPublic().put(attribute, value);
        return this;
    }

    /**
     * Sets every attribute of the map on the private key.
     *
     * @throws AddAttributeException never; declared for compatibility
     */
    public KeyPairAttributesMapBuilder withPrivate(KeyAttributesMap map) throws AddAttributeException {
        pair.getPrivate().putAll(map);
        return this;
    }

    /**
     * Sets one attribute of the private key.
     *
     * @throws AddAttributeException if the attribute does not take a value of this type
     */
    public KeyPairAttributesMapBuilder withPrivate(KeyAttribute attribute, Object value) throws AddAttributeException {
        pair.getPrivate().put(attribute, value);
        return this;
    }

    /**
     * Returns a copy of the attributes set so far.
     *
     * @throws AddAttributeException never; declared for compatibility
     */
    public KeyPairAttributesMap build() throws AddAttributeException {
        KeyPairAttributesMap copy = new KeyPairAttributesMap();
        copy.putAll(pair);
        return copy;
    }
}
