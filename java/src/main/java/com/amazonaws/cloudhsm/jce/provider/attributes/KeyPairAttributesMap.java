package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;
import java.security.spec.AlgorithmParameterSpec;

/** Attributes for the two halves of a key pair. */
public class KeyPairAttributesMap implements AlgorithmParameterSpec {
    private final KeyAttributesMap publicMap = new KeyAttributesMap();
    private final KeyAttributesMap privateMap = new KeyAttributesMap();

    /** Makes an empty pair of maps. */
    public KeyPairAttributesMap() {}

    /** Returns the public half's attributes. */
    public KeyAttributesMap getPublic() {
        return publicMap;
    }

    /** Returns the private half's attributes. */
    public KeyAttributesMap getPrivate() {
        return privateMap;
    }

    /** Returns one attribute of the public half, or null. */
    public Object getPublic(KeyAttribute attribute) {
        return publicMap.get(attribute);
    }

    /** Returns one attribute of the private half, or null. */
    public Object getPrivate(KeyAttribute attribute) {
        return privateMap.get(attribute);
    }

    /** Sets one attribute of the public half and returns its former value, or null. */
    public Object putPublic(KeyAttribute attribute, Object value) throws AddAttributeException {
        return publicMap.put(attribute, value);
    }

    /** Sets one attribute of the private half and returns its former value, or null. */
    public Object putPrivate(KeyAttribute attribute, Object value) throws AddAttributeException {
        return privateMap.put(attribute, value);
    }

    /** Sets every attribute of the other pair, over those that are here. */
    public void putAll(KeyPairAttributesMap other) throws AddAttributeException {
        publicMap.putAll(other.publicMap);
        privateMap.putAll(other.privateMap);
    }
}
