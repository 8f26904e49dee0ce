package com.amazonaws.cloudhsm.jce.provider.attributes;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;
import java.security.spec.AlgorithmParameterSpec;

/** Templates for the public and the private key of a new key pair. */
public class KeyPairAttributesMap implements AlgorithmParameterSpec {
    private final KeyAttributesMap publicMap = new KeyAttributesMap();
    private final KeyAttributesMap privateMap = new KeyAttributesMap();

    /** Creates two empty templates. */
    public KeyPairAttributesMap() {}

    /** Returns the template of the public key; changes to it take effect. */
    public KeyAttributesMap getPublic() {
        return publicMap;
    }

    /** Returns the template of the private key; changes to it take effect. */
    public KeyAttributesMap getPrivate() {
        return privateMap;
    }

    /** Returns one attribute of the public key, or null. */
    public Object getPublic(KeyAttribute attribute) {
        return publicMap.get(attribute);
    }

    /** Returns one attribute of the private key, or null. */
    public Object getPrivate(KeyAttribute attribute) {
        return privateMap.get(attribute);
    }

    /**
     * Sets one attribute of the public key and returns its former value, or null.
     *
     * @throws AddAttributeException if the attribute does not take a value of this type
     */
    public Object putPublic(KeyAttribute attribute, Object value) throws AddAttributeException {
        return publicMap.put(attribute, value);
    }

    /**
     * Sets one attribute of the private key and returns its former value, or null.
     *
     * @throws AddAttributeException if the attribute does not take a value of this type
     */
    public Object putPrivate(KeyAttribute attribute, Object value) throws AddAttributeException {
        return privateMap.put(attribute, value);
    }

    /**
     * Sets every attribute of the other templates, in place of former values.
     *
     * @throws AddAttributeException never; declared for compatibility
     */
    public void putAll(KeyPairAttributesMap other) throws AddAttributeException {
        publicMap.putAll(other.publicMap);
        privateMap.putAll(other.privateMap);
    }
}
