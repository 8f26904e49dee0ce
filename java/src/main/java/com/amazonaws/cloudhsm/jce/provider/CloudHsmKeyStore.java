package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.jni.exception.AddAttributeException;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyReferenceSpec;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyType;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.spi.Attributes;
import io.hsmbridge.jce.wire.Operation;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.InvalidAlgorithmParameterException;
import java.security.Key;
import java.security.KeyStoreException;
import java.security.KeyStoreSpi;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.spec.ECPoint;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import javax.crypto.SecretKey;

/** The CloudHSM key store: keys are in the HSM by label; the file, whose bytes are only carried here, has certificates. */
public final class CloudHsmKeyStore extends KeyStoreSpi {
    /** How long a listing answers for its aliases, in nanoseconds. */
    private static final long LISTING_AGE = 2_000_000_000L;

    private final HsmClient client;
    private Long store;
    private Listing listing;

    /**
     * All entries, asked for with the aliases: keytool goes through every alias and asks five questions about each.
     *
     * <p>What it says holds for two seconds and until this provider changes something; what it does not have is asked for.
     *
     * @param counted whether it was asked for to count it; then it is also what the next question for the aliases gets
     */
    private record Listing(Map<String, Map<?, ?>> entries, long changes, long time, boolean counted) {
        boolean holds(HsmClient client) {
            return changes == client.changes() && System.nanoTime() - time < LISTING_AGE;
        }
    }

    /** Makes one that is not loaded. */
    public CloudHsmKeyStore(HsmClient client) {
        this.client = client;
    }

    @Override
    public void engineLoad(InputStream stream, char[] password) throws IOException {
        byte[] file = stream == null ? null : stream.readAllBytes();
        try {
            Object loaded = client.call(Operation.STORE_LOAD, file == null || file.length == 0 ? null : file,
                    password == null ? null : new String(password)).get(0);
            store = (Long) loaded;
        } catch (HsmException e) {
            throw Errors.keyStoreFile(e);
        }
    }

    @Override
    public void engineStore(OutputStream stream, char[] password) throws IOException {
        Objects.requireNonNull(stream, "no stream to store to");
        try {
            stream.write(client.bytes(Operation.STORE_SAVE, store, password == null ? null : new String(password)));
        } catch (HsmException e) {
            throw Errors.keyStoreFile(e);
        }
    }

    boolean isLoaded() {
        return store != null;
    }

    /** Returns the keys that a map of attributes or a reference describes, at most {@code limit}, 0 for all. */
    List<Key> find(KeySpec spec, int limit) throws InvalidKeySpecException {
        try {
            if (spec instanceof KeyReferenceSpec) {
                long reference = ((KeyReferenceSpec) spec).getKeyReference();
                return List.of(Keys.of(client, client.call(Operation.GET_KEY, reference).get(0)));
            }
            if (spec instanceof KeyAttributesMap) {
                return find((KeyAttributesMap) spec, limit);
            }
        } catch (HsmException e) {
            if (e.code() == Errors.KEY_NOT_FOUND) {
                return List.of();
            }
            throw Errors.invalidKeySpec(e);
        } catch (InvalidAlgorithmParameterException | AddAttributeException e) {
            throw new InvalidKeySpecException(e.getMessage(), e);
        }
        throw new InvalidKeySpecException("Keys are found by a KeyAttributesMap or a KeyReferenceSpec, not "
                + (spec == null ? "null" : spec.getClass().getName()));
    }

    /** The HSM finds by attributes; a public point is none, and is looked for among the EC keys that it finds. */
    private List<Key> find(KeyAttributesMap attributes, int limit)
            throws HsmException, InvalidAlgorithmParameterException, AddAttributeException {
        KeyAttributesMap asked = new KeyAttributesMap();
        asked.putAll(attributes);
        ECPoint point = null;
        if (attributes.get(KeyAttribute.EC_POINT) instanceof ECPoint) {
            point = (ECPoint) asked.remove(KeyAttribute.EC_POINT);
            if (asked.get(KeyAttribute.KEY_TYPE) == null) {
                asked.put(KeyAttribute.KEY_TYPE, KeyType.EC);
            }
        }
        List<Key> keys = new ArrayList<>();
        long most = point == null ? limit : 0;
        for (Object record : (List<?>) client.call(Operation.FIND_KEYS, Attributes.toFields(asked), most).get(0)) {
            HsmKey key = Keys.of(client, record);
            if (point == null || key.hasPoint(point)) {
                keys.add(key);
            }
        }
        return keys;
    }

    private Object ask(int operation, Object... fields) {
        try {
            return client.call(operation, fields).get(0);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    private static String required(String alias) {
        return Objects.requireNonNull(alias, "an alias is needed");
    }

    private Map<?, ?> entry(String alias) {
        required(alias);
        Listing last = listing;
        if (last != null && last.holds(client)) {
            Map<?, ?> listed = last.entries().get(alias);
            if (listed != null) {
                return listed;
            }
        }
        return (Map<?, ?>) ask(Operation.STORE_ENTRY, store, alias);
    }

    @Override
    public Key engineGetKey(String alias, char[] password) throws UnrecoverableKeyException {
        try {
            Object record = client.call(Operation.STORE_GET_KEY, store, required(alias)).get(0);
            return record == null ? null : Keys.of(client, record);
        } catch (HsmException e) {
            throw Errors.unrecoverable(e);
        }
    }

    @Override
    public Certificate[] engineGetCertificateChain(String alias) {
        Map<?, ?> entry = entry(alias);
        List<?> chain = chain(entry);
        return chain.isEmpty() || Boolean.TRUE.equals(entry.get("is_certificate")) ? null : parse(chain);
    }

    @Override
    public Certificate engineGetCertificate(String alias) {
        List<?> chain = chain(entry(alias));
        return chain.isEmpty() ? null : parse(chain.subList(0, 1))[0];
    }

    private static List<?> chain(Map<?, ?> entry) {
        return entry == null || entry.get("chain") == null ? List.of() : (List<?>) entry.get("chain");
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
        Map<?, ?> entry = entry(alias);
        return entry == null || entry.get("created") == null ? null : new Date((Long) entry.get("created"));
    }

    @Override
    public void engineSetKeyEntry(String alias, Key key, char[] password, Certificate[] chain) throws KeyStoreException {
        try {
            if (key instanceof HsmKey && ((HsmKey) key).belongsTo(client)) {
                client.call(Operation.STORE_SET_KEY, store, required(alias), ((HsmKey) key).handle(), encode(chain));
            } else {
                importKey(alias, key, chain);
            }
        } catch (HsmException e) {
            throw Errors.keyStore(e);
        }
    }

    private void importKey(String alias, Key key, Certificate[] chain) throws KeyStoreException, HsmException {
        if (!(key instanceof PrivateKey || key instanceof SecretKey)) {
            throw new KeyStoreException("A private or a secret key is entered, not "
                    + (key == null ? "null" : key.getClass().getName()));
        }
        byte[] material = key.getEncoded();
        if (material == null) {
            throw new KeyStoreException("The key has no encoding, so that it cannot be imported: " + key.getClass().getName());
        }
        boolean isPrivate = key instanceof PrivateKey;
        Map<String, Object> attributes = new HashMap<>();
        attributes.put("OBJECT_CLASS", isPrivate ? "PRIVATE_KEY" : "SECRET_KEY");
        attributes.put("KEY_TYPE", typeOf(key.getAlgorithm(), isPrivate));
        client.call(Operation.STORE_IMPORT_KEY, store, required(alias), attributes, material, encode(chain));
    }

    /** Secret bytes for an algorithm that the HSM has no type for are a generic secret, private keys are refused. */
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
        throw new KeyStoreException("A key store of the HSM does not take protected key bytes; give the key object");
    }

    @Override
    public void engineSetCertificateEntry(String alias, Certificate certificate) throws KeyStoreException {
        if (certificate == null) {
            throw new KeyStoreException("The certificate is null");
        }
        try {
            client.call(Operation.STORE_SET_CERTIFICATE, store, required(alias), certificate.getEncoded());
        } catch (HsmException e) {
            throw Errors.keyStore(e);
        } catch (CertificateException e) {
            throw new KeyStoreException(e);
        }
    }

    @Override
    public void engineDeleteEntry(String alias) throws KeyStoreException {
        try {
            client.call(Operation.STORE_DELETE, store, required(alias));
        } catch (HsmException e) {
            throw Errors.keyStore(e);
        }
    }

    private Listing list(boolean counted) {
        long changes = client.changes();
        Map<String, Map<?, ?>> entries = new LinkedHashMap<>();
        for (Object alike : (List<?>) ask(Operation.STORE_ENTRIES, store)) {
            Map<?, ?> entry = (Map<?, ?>) ((List<?>) alike).get(0);
            for (Object alias : (List<?>) ((List<?>) alike).get(1)) {
                entries.put((String) alias, entry);
            }
        }
        return new Listing(entries, changes, System.nanoTime(), counted);
    }

    @Override
    public Enumeration<String> engineAliases() {
        Listing last = listing;
        Listing now = last != null && last.counted() && last.holds(client)
                ? new Listing(last.entries(), last.changes(), last.time(), false)
                : list(false);
        listing = now;
        return Collections.enumeration(now.entries().keySet());
    }

    @Override
    public int engineSize() {
        Listing now = list(true);
        listing = now;
        return now.entries().size();
    }

    @Override
    public boolean engineContainsAlias(String alias) {
        return entry(alias) != null;
    }

    @Override
    public boolean engineIsKeyEntry(String alias) {
        Map<?, ?> entry = entry(alias);
        return entry != null && Boolean.TRUE.equals(entry.get("is_key"));
    }

    @Override
    public boolean engineIsCertificateEntry(String alias) {
        Map<?, ?> entry = entry(alias);
        return entry != null && Boolean.TRUE.equals(entry.get("is_certificate"));
    }

    @Override
    public String engineGetCertificateAlias(Certificate certificate) {
        try {
            return (String) ask(Operation.STORE_FIND_CERTIFICATE, store, certificate.getEncoded());
        } catch (CertificateException e) {
            return null;
        }
    }
}
