package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.Key;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.KeyStoreSpi;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import javax.crypto.SecretKey;

/**
 * The CloudHSM key store: the HSM holds the keys by label, a file holds the certificates.
 *
 * <p>This object holds the entries of the file, which are public; the HSM keeps no state for it. Only operations on
 * labels and keys need a login. Safe for use by many threads.
 */
public final class CloudHsmKeyStore extends KeyStoreSpi {
    /** Time for which a listing stays valid, in nanoseconds. */
    private static final long LISTING_AGE = 2_000_000_000L;

    private final HsmClient client;
    private volatile StoredEntries entries;
    private volatile Listing listing;

    /**
     * The aliases of keys, fetched in one request because keytool lists all aliases and then sends several queries for
     * each.
     *
     * <p>A listing is valid for two seconds, or until this provider changes a key. Other aliases take a request each.
     */
    private static final class Listing {
        private final Map<String, String> keys;
        private final long changes;
        private final long time;
        private final boolean counted;

        /**
         * Creates the value of its parts.
         *
         * @param keys class of the only key of each alias, as STORE_LIST returns it
         * @param counted whether {@code engineSize} fetched the listing; then the next {@code engineAliases} uses it
         */
        Listing(Map<String, String> keys, long changes, long time, boolean counted) {
            this.keys = keys;
            this.changes = changes;
            this.time = time;
            this.counted = counted;
        }

        boolean holds(HsmClient client) {
            return changes == client.changes() && System.nanoTime() - time < LISTING_AGE;
        }
    }

    /**
     * Creates a key store that is not loaded.
     *
     * @param client login of the provider
     */
    public CloudHsmKeyStore(HsmClient client) {
        this.client = client;
    }

    @Override
    public void engineLoad(InputStream stream, char[] password) throws IOException {
        byte[] file = stream == null ? new byte[0] : stream.readAllBytes();
        StoredEntries loaded = file.length == 0 ? new StoredEntries() : decode(file, password);
        synchronized (this) {
            entries = loaded;
            listing = null;
        }
    }

    private StoredEntries decode(byte[] file, char[] password) throws IOException {
        try {
            List<Object> decoded = client.callWithoutLogin(Operation.STORE_DECODE, file, text(password));
            return new StoredEntries((Map<?, ?>) decoded.get(0), (String) decoded.get(1));
        } catch (HsmException e) {
            throw Errors.keyStoreFile(e);
        }
    }

    @Override
    public synchronized void engineStore(OutputStream stream, char[] password) throws IOException {
        Objects.requireNonNull(stream, "the stream is null");
        if (entries.loses() != null) {
            throw new IOException(entries.loses());
        }
        try {
            byte[] file = (byte[]) client.callWithoutLogin(Operation.STORE_ENCODE, entries.all(), text(password)).get(0);
            Map<String, Object> toPersist = entries.toPersist();
            if (!toPersist.isEmpty()) {
                client.call(Operation.STORE_PERSIST, toPersist);
            }
            stream.write(file);
            entries.persisted();
        } catch (HsmException e) {
            throw Errors.keyStoreFile(e);
        }
    }

    private static String text(char[] password) {
        return password == null ? null : new String(password);
    }

    boolean isLoaded() {
        return entries != null;
    }

    /**
     * Returns the keys that match a search template or have a reference.
     *
     * @param limit the largest number of keys to return, 0 for no limit
     * @throws InvalidKeySpecException if keys cannot be found by this specification
     */
    List<Key> find(KeySpec spec, int limit) throws InvalidKeySpecException {
        return KeySearch.find(client, spec, limit);
    }

    private static String required(String alias) {
        return Objects.requireNonNull(alias, "the alias is null");
    }

    private List<Object> ask(int operation, Object... fields) {
        try {
            return client.call(operation, fields);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    /** Returns whether exactly one key has the alias; null if neither this key store nor the HSM knows it. */
    private Boolean isKey(String alias) {
        Listing last = listing;
        if (last != null && last.holds(client)) {
            String listed = last.keys.get(alias);
            if (listed != null) {
                return !listed.isEmpty();
            }
        }
        return (Boolean) ask(Operation.STORE_IS_KEY, alias, entries.get(alias)).get(0);
    }

    @Override
    public Key engineGetKey(String alias, char[] password) throws UnrecoverableKeyException {
        if (entries.isTrusted(required(alias))) {
            return null;
        }
        try {
            Object record = client.call(Operation.STORE_GET_KEY, alias, entries.get(alias)).get(0);
            return record == null ? null : Keys.of(client, record);
        } catch (HsmException e) {
            throw Errors.unrecoverable(e);
        }
    }

    /**
     * Returns whether the entry is of this class, from the key itself. The default of the JDK takes each key without a
     * certificate for a secret key, and an entry of a deleted key for a private key.
     */
    @Override
    public boolean engineEntryInstanceOf(String alias, Class<? extends KeyStore.Entry> entryClass) {
        if (!engineIsKeyEntry(alias)) {
            return super.engineEntryInstanceOf(alias, entryClass);
        }
        Listing last = listing;
        String listed = last != null && last.holds(client) ? last.keys.get(alias) : null;
        if (listed != null) {
            return listed.equals("PRIVATE_KEY") && entryClass == KeyStore.PrivateKeyEntry.class
                    || listed.equals("SECRET_KEY") && entryClass == KeyStore.SecretKeyEntry.class;
        }
        try {
            Key key = engineGetKey(alias, null);
            return key instanceof PrivateKey && entryClass == KeyStore.PrivateKeyEntry.class
                    || key instanceof SecretKey && entryClass == KeyStore.SecretKeyEntry.class;
        } catch (UnrecoverableKeyException e) {
            return false;
        }
    }

    @Override
    public Certificate[] engineGetCertificateChain(String alias) {
        List<?> chain = entries.chain(required(alias));
        return chain.isEmpty() || entries.isTrusted(alias) ? null : parse(chain);
    }

    @Override
    public Certificate engineGetCertificate(String alias) {
        List<?> chain = entries.chain(required(alias));
        return chain.isEmpty() ? null : parse(chain.subList(0, 1))[0];
    }

    private static Certificate[] parse(List<?> chain) {
        try {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            Certificate[] certificates = new Certificate[chain.size()];
            for (int i = 0; i < certificates.length; i++) {
                certificates[i] = factory.generateCertificate(new ByteArrayInputStream((byte[]) chain.get(i)));
            }
            return certificates;
        } catch (CertificateException e) {
            throw new java.security.ProviderException("A certificate of the key store does not decode", e);
        }
    }

    @Override
    public Date engineGetCreationDate(String alias) {
        Map<?, ?> entry = entries.get(required(alias));
        return entry == null ? null : new Date((Long) entry.get("created"));
    }

    @Override
    public synchronized void engineSetKeyEntry(String alias, Key key, char[] password, Certificate[] chain)
            throws KeyStoreException {
        Object held = entries.get(required(alias));
        try {
            if (key instanceof HsmKey && ((HsmKey) key).belongsTo(client)) {
                long handle = ((HsmKey) key).handle();
                enter(alias, client.call(Operation.STORE_SET_KEY, alias, held, handle, encode(chain)));
            } else {
                importKey(alias, held, key, chain);
            }
        } catch (HsmException e) {
            throw Errors.keyStore(e);
        }
    }

    /**
     * Sets an entry from the last two results of an operation: the entry and the handles of the keys to make
     * persistent.
     */
    private void enter(String alias, List<Object> results) {
        entries.enter(alias, results.get(results.size() - 2), (List<?>) results.get(results.size() - 1));
    }

    private void importKey(String alias, Object held, Key key, Certificate[] chain) throws KeyStoreException, HsmException {
        if (!(key instanceof PrivateKey || key instanceof SecretKey)) {
            throw new KeyStoreException("A key entry takes a private or a secret key, not "
                    + (key == null ? "null" : key.getClass().getName()));
        }
        byte[] material = key.getEncoded();
        if (material == null) {
            throw new KeyStoreException("The HSM cannot import a key without an encoding: " + key.getClass().getName());
        }
        boolean isPrivate = key instanceof PrivateKey;
        Map<String, Object> attributes = new HashMap<>();
        attributes.put("OBJECT_CLASS", isPrivate ? "PRIVATE_KEY" : "SECRET_KEY");
        attributes.put("KEY_TYPE", typeOf(key.getAlgorithm(), isPrivate));
        enter(alias, client.call(Operation.STORE_IMPORT_KEY, alias, held, attributes, material, encode(chain)));
    }

    /**
     * Returns the key type of an algorithm; that of a generic secret for a secret key whose algorithm the HSM does not
     * know.
     */
    private static String typeOf(String algorithm, boolean isPrivate) throws KeyStoreException {
        try {
            return Keys.type(algorithm, !isPrivate);
        } catch (NoSuchAlgorithmException e) {
            if (isPrivate) {
                throw new KeyStoreException(e.getMessage(), e);
            }
            return "GENERIC_SECRET";
        }
    }

    private static List<Object> encode(Certificate[] chain) throws KeyStoreException {
        List<Object> encoded = new ArrayList<>();
        try {
            for (Certificate certificate : chain == null ? new Certificate[0] : chain) {
                encoded.add(certificate.getEncoded());
            }
        } catch (CertificateException e) {
            throw new KeyStoreException(e);
        }
        return encoded;
    }

    @Override
    public void engineSetKeyEntry(String alias, byte[] key, Certificate[] chain) throws KeyStoreException {
        throw new KeyStoreException("A key store of the HSM does not take protected key bytes; pass the key object");
    }

    @Override
    public synchronized void engineSetCertificateEntry(String alias, Certificate certificate) throws KeyStoreException {
        if (certificate == null) {
            throw new KeyStoreException("The certificate is null");
        }
        Object held = entries.get(required(alias));
        try {
            byte[] encoded = certificate.getEncoded();
            Object entry = client.call(Operation.STORE_SET_CERTIFICATE, alias, held, encoded).get(0);
            entries.enter(alias, entry, List.of());
        } catch (HsmException e) {
            throw Errors.keyStore(e);
        } catch (CertificateException e) {
            throw new KeyStoreException(e);
        }
    }

    @Override
    public synchronized void engineDeleteEntry(String alias) {
        entries.delete(required(alias));
        listing = null;
    }

    private Set<String> aliases(boolean counted) {
        Listing now = listing;
        if (counted || now == null || !now.counted || !now.holds(client)) {
            now = list();
        }
        listing = new Listing(now.keys, now.changes, now.time, counted);
        Set<String> aliases = new LinkedHashSet<>(entries.aliases());
        aliases.addAll(now.keys.keySet());
        return aliases;
    }

    private Listing list() {
        long changes = client.changes();
        Map<String, String> keys = new LinkedHashMap<>();
        Map<String, Object> ofKeys = entries.ofKeys();
        Object after = null;
        do {
            List<Object> page = ask(Operation.STORE_LIST, ofKeys, after);
            for (Object alike : (List<?>) page.get(0)) {
                String keyClass = (String) ((List<?>) alike).get(0);
                for (Object alias : (List<?>) ((List<?>) alike).get(1)) {
                    keys.put((String) alias, keyClass);
                }
            }
            after = page.get(1);
        } while (after != null);
        return new Listing(keys, changes, System.nanoTime(), false);
    }

    @Override
    public Enumeration<String> engineAliases() {
        return Collections.enumeration(aliases(false));
    }

    @Override
    public int engineSize() {
        return aliases(true).size();
    }

    @Override
    public boolean engineContainsAlias(String alias) {
        return entries.get(required(alias)) != null || isKey(alias) != null;
    }

    @Override
    public boolean engineIsKeyEntry(String alias) {
        return !entries.isTrusted(required(alias)) && Boolean.TRUE.equals(isKey(alias));
    }

    @Override
    public boolean engineIsCertificateEntry(String alias) {
        return entries.isTrusted(required(alias));
    }

    @Override
    public String engineGetCertificateAlias(Certificate certificate) {
        try {
            return entries.aliasOf(certificate.getEncoded());
        } catch (CertificateException e) {
            return null;
        }
    }
}
