package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.PublicKey;

/** Converts the key of an engine to an argument of a request: a handle, or the encoding of a software public key. */
final class KeyArguments {
    private KeyArguments() {}

    /** Returns the reference's message for a key of another provider; the operation is a noun. */
    static String foreign(String operation) {
        return "Non CloudHsm key is not supported for this " + operation + " operation";
    }

    /**
     * Returns the handle of a key of this provider.
     *
     * @param algorithm algorithm that the key must have, or null for any
     * @param permission attribute that must be true
     * @param operation noun for the message
     * @throws InvalidKeyException if the key belongs to another provider, has another algorithm, or lacks the
     *     permission
     */
    static Object own(HsmClient client, Key key, String algorithm, String permission, String operation)
            throws InvalidKeyException {
        if (!(key instanceof HsmKey) || !((HsmKey) key).belongsTo(client)) {
            throw new InvalidKeyException(foreign(operation));
        }
        if (algorithm != null && !key.getAlgorithm().equals(algorithm)) {
            throw new InvalidKeyException("A key for " + algorithm + " is needed, this is one for " + key.getAlgorithm());
        }
        ((HsmKey) key).require(permission);
        return ((HsmKey) key).handle();
    }

    /**
     * Returns the handle of a secret key of this provider that has one of the row's key types and a permitted length.
     */
    static Object ownSecret(HsmClient client, Key key, Row row, String permission, String operation)
            throws InvalidKeyException {
        Object handle = own(client, key, null, permission, operation);
        Object type = ((HsmKey) key).attribute("KEY_TYPE");
        if (!row.list("keys").contains(type)) {
            throw new InvalidKeyException(row.algorithm() + " takes keys of type " + row.get("keys") + ", not " + type);
        }
        Object bits = ((HsmKey) key).attribute("SIZE");
        if (row.get("longest") != null && bits instanceof Long && (Long) bits > row.number("longest")) {
            throw new InvalidKeyException(
                    row.algorithm() + " takes keys of at most " + row.get("longest") + " bits, not " + bits);
        }
        return handle;
    }

    /** Returns a key of this provider unchanged if it has that type and has not been destroyed. */
    static <T extends Key> T ofType(T key, String type) throws InvalidKeyException {
        HsmKey own = (HsmKey) key;
        own.require("KEY_TYPE");
        if (!type.equals(own.attribute("KEY_TYPE"))) {
            throw new InvalidKeyException("A key of type " + type + " is needed, not " + own.attribute("KEY_TYPE"));
        }
        return key;
    }

    /** Checks that the key has the parameter set in the algorithm's name, if there is one. */
    static void requireSet(HsmKey key, Row row) throws InvalidKeyException {
        Object set = key.attribute("PARAMETER_SET");
        if (row.get("set") != null && !row.get("set").equals(set)) {
            throw new InvalidKeyException("A key for " + row.get("set") + " is needed, this is one for " + set);
        }
    }

    /** Returns the DER encoding of a public key of any provider. */
    static byte[] encoding(HsmClient client, Key key, String algorithm) throws InvalidKeyException {
        anyPublic(client, key, algorithm, "PUBLIC_KEY_INFO", "key agreement");
        return key.getEncoded();
    }

    /** Returns the handle of a public key of this provider, or the DER encoding of another public key. */
    static Object anyPublic(HsmClient client, Key key, String algorithm, String permission, String operation)
            throws InvalidKeyException {
        if (key instanceof PublicKey && key instanceof HsmKey && ((HsmKey) key).belongsTo(client)) {
            return own(client, key, algorithm, permission, operation);
        }
        if (!(key instanceof PublicKey) || !key.getAlgorithm().equals(algorithm) || key.getEncoded() == null) {
            throw new InvalidKeyException("A public key for " + algorithm + " is needed, this is "
                    + (key == null ? "null" : key.getClass().getName()));
        }
        return key.getEncoded();
    }
}
