package com.amazonaws.cloudhsm.jce.provider;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The public data of one key store: its entries in the encoding of the message protocol, in the order of the file, and
 * the handles of the keys that become token keys when it is stored. Safe for use by many threads.
 */
final class StoredEntries {
    private final Map<String, Map<?, ?>> entries = new LinkedHashMap<>();
    private final Map<String, Object> toPersist = new LinkedHashMap<>();
    private final String loses;

    /** Creates a key store without entries. */
    StoredEntries() {
        loses = null;
    }

    /**
     * Creates a key store with the entries of a decoded file.
     *
     * @param decoded entries by alias
     * @param loses reason for which the entries must not be stored, or null
     */
    StoredEntries(Map<?, ?> decoded, String loses) {
        decoded.forEach((alias, entry) -> entries.put((String) alias, (Map<?, ?>) entry));
        this.loses = loses;
    }

    /** Returns the reason for which the entries must not be stored, or null. */
    String loses() {
        return loses;
    }

    synchronized Map<?, ?> get(String alias) {
        return entries.get(alias);
    }

    /** Returns whether the alias is a trusted certificate. */
    boolean isTrusted(String alias) {
        return isTrusted(get(alias));
    }

    private static boolean isTrusted(Map<?, ?> entry) {
        return entry != null && "trusted".equals(entry.get("kind"));
    }

    /** Returns the DER certificates under an alias; none if there is no entry. */
    List<?> chain(String alias) {
        return chain(get(alias));
    }

    private static List<?> chain(Map<?, ?> entry) {
        return entry == null ? List.of() : (List<?>) entry.get("chain");
    }

    /** Returns the aliases in their order. */
    synchronized List<String> aliases() {
        return new ArrayList<>(entries.keySet());
    }

    /** Returns all entries. */
    synchronized Map<String, Object> all() {
        return new LinkedHashMap<>(entries);
    }

    /** Returns the entries that are not trusted certificates. */
    synchronized Map<String, Object> ofKeys() {
        Map<String, Object> keys = new LinkedHashMap<>(entries);
        keys.values().removeIf(entry -> isTrusted((Map<?, ?>) entry));
        return keys;
    }

    /** Returns the alias of the first entry whose own certificate has this DER encoding, or null. */
    synchronized String aliasOf(byte[] certificate) {
        for (Map.Entry<String, Map<?, ?>> entry : entries.entrySet()) {
            List<?> chain = chain(entry.getValue());
            if (!chain.isEmpty() && Arrays.equals((byte[]) chain.get(0), certificate)) {
                return entry.getKey();
            }
        }
        return null;
    }

    /**
     * Sets an entry, or removes it if it is null because the label alone names the key, and keeps the handles of the
     * keys to make persistent.
     */
    synchronized void enter(String alias, Object entry, List<?> handles) {
        if (entry == null) {
            entries.remove(alias);
        } else {
            entries.put(alias, (Map<?, ?>) entry);
        }
        toPersist.put(alias, handles);
    }

    synchronized void delete(String alias) {
        entries.remove(alias);
        toPersist.remove(alias);
    }

    /** Returns the handles of keys to make persistent, by alias. */
    synchronized Map<String, Object> toPersist() {
        return new LinkedHashMap<>(toPersist);
    }

    synchronized void persisted() {
        toPersist.clear();
    }
}
