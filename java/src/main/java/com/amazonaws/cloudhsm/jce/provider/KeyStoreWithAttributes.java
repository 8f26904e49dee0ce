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
 * The CloudHSM key store with searches by attribute in addition to those by label. Load it before use, like any key
 * store.
 */
public class KeyStoreWithAttributes extends KeyStore {
    private final CloudHsmKeyStore keys;

    /** Creates a key store that is not loaded. Applications call {@link #getInstance(String)} instead. */
    protected KeyStoreWithAttributes(CloudHsmKeyStore keys, Provider provider, String type) {
        super(keys, provider, type);
        this.keys = keys;
    }

    /**
     * Returns a key store of the first registered provider of class {@link CloudHsmProvider}.
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
     * Returns a key store of the provider with that name.
     *
     * @param type {@code CloudHSM}, in any case
     * @param provider name of a registered provider
     * @throws NoSuchProviderException if no provider is registered under the name
     * @throws KeyStoreException if the provider has no such key store
     * @throws IllegalArgumentException if the name is null or empty
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
     * @param type {@code CloudHSM}, in any case
     * @param provider a {@link CloudHsmProvider}, registered or not
     * @throws KeyStoreException if the provider has no such key store
     * @throws IllegalArgumentException if the provider is null
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

    /**
     * Returns the key that matches a search template; see {@link #getKey(KeySpec)}.
     *
     * @throws KeyStoreException if the key store is not loaded
     * @throws InvalidKeySpecException if the HSM does not search by one of the attributes
     * @throws UnrecoverableKeyException if several keys match
     */
    public Key getKey(KeyAttributesMap attributes)
            throws KeyStoreException, InvalidKeySpecException, UnrecoverableKeyException {
        return getKey((KeySpec) attributes);
    }

    /**
     * Returns the key that matches a search template or has a reference, or null if there is none.
     *
     * @param spec a {@link KeyAttributesMap} or a {@link KeyReferenceSpec}
     * @throws KeyStoreException if the key store is not loaded
     * @throws InvalidKeySpecException if keys cannot be found by this specification
     * @throws UnrecoverableKeyException if several keys match
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
     * Returns every key that matches a search template or has a reference.
     *
     * @param spec a {@link KeyAttributesMap} or a {@link KeyReferenceSpec}
     * @throws IllegalStateException if the key store is not loaded
     * @throws InvalidKeySpecException if keys cannot be found by this specification
     */
    public List<Key> getKeys(KeySpec spec) throws InvalidKeySpecException {
        if (!keys.isLoaded()) {
            throw new IllegalStateException("Uninitialized keystore");
        }
        return keys.find(spec, 0);
    }
}
