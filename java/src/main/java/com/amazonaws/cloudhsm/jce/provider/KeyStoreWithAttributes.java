package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyReferenceSpec;
import java.security.Key;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.NoSuchAlgorithmException;
import java.security.NoSuchProviderException;
import java.security.Provider;
import java.security.Security;
import java.security.UnrecoverableKeyException;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.util.List;

/**
 * The CloudHSM key store with searches by attribute beside those by label. It is a key store like any other, and is
 * loaded before use.
 */
public class KeyStoreWithAttributes extends KeyStore {
    private final CloudHsmKeyStore keys;

    /** Makes one that is not loaded; {@link #getInstance(String)} is the way to get one. */
    protected KeyStoreWithAttributes(CloudHsmKeyStore keys, Provider provider, String type) {
        super(keys, provider, type);
        this.keys = keys;
    }

    /**
     * Returns a key store of the first registered provider of this kind.
     *
     * @param type {@code CloudHSM}, in any case
     * @throws KeyStoreException if no such provider is registered, or it has no key store of that type
     */
    public static KeyStoreWithAttributes getInstance(String type) throws KeyStoreException {
        for (Provider provider : Security.getProviders()) {
            if (provider instanceof CloudHsmProvider && provider.getService("KeyStore", type) != null) {
                return getInstance(type, provider);
            }
        }
        throw new KeyStoreException(type + " not found: no provider with such a key store is registered");
    }

    /**
     * Returns a key store of the provider of that name.
     *
     * @throws NoSuchProviderException if none is registered under the name
     * @throws KeyStoreException if it has no such key store
     */
    public static KeyStoreWithAttributes getInstance(String type, String provider)
            throws KeyStoreException, NoSuchProviderException {
        if (provider == null || provider.isEmpty()) {
            throw new IllegalArgumentException("missing provider");
        }
        Provider registered = Security.getProvider(provider);
        if (registered == null) {
            throw new NoSuchProviderException("no such provider: " + provider);
        }
        return getInstance(type, registered);
    }

    /**
     * Returns a key store of that provider.
     *
     * @throws KeyStoreException if it has no such key store
     */
    public static KeyStoreWithAttributes getInstance(String type, Provider provider) throws KeyStoreException {
        if (provider == null) {
            throw new IllegalArgumentException("missing provider");
        }
        Provider.Service service = provider.getService("KeyStore", type);
        if (service == null || !(provider instanceof CloudHsmProvider)) {
            throw new KeyStoreException(type + " with attributes is not a key store of " + provider.getName());
        }
        try {
            return new KeyStoreWithAttributes((CloudHsmKeyStore) service.newInstance(null), provider, type);
        } catch (NoSuchAlgorithmException e) {
            throw new KeyStoreException(e);
        }
    }

    /** Returns the key that has these attributes, as {@link #getKey(KeySpec)} does. */
    public Key getKey(KeyAttributesMap attributes)
            throws KeyStoreException, InvalidKeySpecException, UnrecoverableKeyException {
        return getKey((KeySpec) attributes);
    }

    /**
     * Returns the key that has these attributes or this reference, or null if there is none.
     *
     * @param spec a {@link KeyAttributesMap} or a {@link KeyReferenceSpec}
     * @throws KeyStoreException if the key store is not loaded
     * @throws InvalidKeySpecException if keys are not found by this
     * @throws UnrecoverableKeyException if several keys have the attributes
     */
    public Key getKey(KeySpec spec) throws KeyStoreException, InvalidKeySpecException, UnrecoverableKeyException {
        if (!keys.isLoaded()) {
            throw new KeyStoreException("Uninitialized keystore");
        }
        List<Key> found = keys.find(spec, 2);
        if (found.size() > 1) {
            throw new UnrecoverableKeyException("KeyStore should return only one key for the provided attributes");
        }
        return found.isEmpty() ? null : found.get(0);
    }

    /**
     * Returns every key that has these attributes or this reference.
     *
     * @param spec a {@link KeyAttributesMap} or a {@link KeyReferenceSpec}
     * @throws IllegalStateException if the key store is not loaded
     * @throws InvalidKeySpecException if keys are not found by this
     */
    public List<Key> getKeys(KeySpec spec) throws InvalidKeySpecException {
        if (!keys.isLoaded()) {
            throw new IllegalStateException("Uninitialized keystore");
        }
        return keys.find(spec, 0);
    }
}
