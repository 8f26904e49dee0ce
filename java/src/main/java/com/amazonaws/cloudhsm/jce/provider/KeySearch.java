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
import java.security.InvalidAlgorithmParameterException;
import java.security.Key;
import java.security.spec.ECPoint;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Searches for keys by attributes and by reference. */
final class KeySearch {
    private KeySearch() {}

    /**
     * Returns the keys that match a search template or have a reference.
     *
     * @param limit the largest number of keys to return, 0 for no limit
     * @throws InvalidKeySpecException if the specification is of another class, or has an attribute that the HSM does
     *     not search by
     */
    static List<Key> find(HsmClient client, KeySpec spec, int limit) throws InvalidKeySpecException {
        try {
            if (spec instanceof KeyReferenceSpec) {
                long reference = ((KeyReferenceSpec) spec).getKeyReference();
                return List.of(Keys.of(client, client.call(Operation.GET_KEY, reference).get(0)));
            }
            if (spec instanceof KeyAttributesMap) {
                return find(client, (KeyAttributesMap) spec, limit);
            }
        } catch (HsmException e) {
            if (e.code() == Errors.KEY_NOT_FOUND) {
                return List.of();
            }
            throw Errors.invalidKeySpec(e);
        } catch (InvalidAlgorithmParameterException | AddAttributeException e) {
            throw new InvalidKeySpecException(e.getMessage(), e);
        }
        throw new InvalidKeySpecException("A search takes a KeyAttributesMap or a KeyReferenceSpec, not "
                + (spec == null ? "null" : spec.getClass().getName()));
    }

    /**
     * Compares EC points on the client, among the EC keys that the HSM finds, because the HSM does not search by point.
     */
    private static List<Key> find(HsmClient client, KeyAttributesMap attributes, int limit)
            throws HsmException, InvalidAlgorithmParameterException, AddAttributeException {
        KeyAttributesMap template = new KeyAttributesMap();
        template.putAll(attributes);
        ECPoint point = null;
        if (attributes.get(KeyAttribute.EC_POINT) instanceof ECPoint) {
            point = (ECPoint) template.remove(KeyAttribute.EC_POINT);
            if (template.get(KeyAttribute.KEY_TYPE) == null) {
                template.put(KeyAttribute.KEY_TYPE, KeyType.EC);
            }
        }
        List<Key> keys = new ArrayList<>();
        Map<String, Object> fields = Attributes.toFields(template);
        Object after = null;
        do {
            long most = point == null && limit != 0 ? limit - keys.size() : 0;
            List<Object> page = client.call(Operation.FIND_KEYS, fields, most, after);
            for (Object record : (List<?>) page.get(0)) {
                HsmKey key = Keys.of(client, record);
                if (point == null || key.hasPoint(point)) {
                    keys.add(key);
                }
            }
            after = page.get(1);
        } while (after != null && (limit == 0 || keys.size() < limit));
        return keys;
    }
}
