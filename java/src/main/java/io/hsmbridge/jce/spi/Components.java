package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.math.BigInteger;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.KeySpec;
import java.security.spec.RSAPrivateCrtKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.util.EnumMap;
import java.util.Map;

/** The attributes of an import, separated into the numbers of the key and its template. */
final class Components {
    private final Map<KeyAttribute, Object> rest;

    Components(KeyAttributesMap map) {
        rest = new EnumMap<>(KeyAttribute.class);
        rest.putAll(map.asMap());
    }

    /** Returns the attributes that no method has returned as a number of the key. */
    Map<KeyAttribute, Object> rest() {
        return rest;
    }

    /** Removes and returns the bytes of a secret key. */
    byte[] value() throws InvalidKeySpecException {
        return (byte[]) take(KeyAttribute.VALUE);
    }

    KeySpec publicKey(String algorithm) throws InvalidKeySpecException {
        if (algorithm.equals("RSA")) {
            return new RSAPublicKeySpec(number(KeyAttribute.MODULUS), number(KeyAttribute.PUBLIC_EXPONENT));
        }
        ECParameterSpec curve = curve();
        Object point = take(KeyAttribute.EC_POINT);
        if (!(point instanceof ECPoint) || point.equals(ECPoint.POINT_INFINITY)) {
            throw new InvalidKeySpecException("EC_POINT must be an ECPoint other than the point at infinity");
        }
        return new ECPublicKeySpec((ECPoint) point, curve);
    }

    KeySpec privateKey(String algorithm) throws InvalidKeySpecException {
        if (algorithm.equals("RSA")) {
            return new RSAPrivateCrtKeySpec(number(KeyAttribute.MODULUS), number(KeyAttribute.PUBLIC_EXPONENT),
                    number(KeyAttribute.PRIVATE_EXPONENT), number(KeyAttribute.PRIME_P), number(KeyAttribute.PRIME_Q),
                    number(KeyAttribute.PRIME_EXPONENT_P), number(KeyAttribute.PRIME_EXPONENT_Q),
                    number(KeyAttribute.CRT_COEFFICIENT));
        }
        ECParameterSpec curve = curve();
        return new ECPrivateKeySpec(number(KeyAttribute.VALUE), curve);
    }

    private ECParameterSpec curve() throws InvalidKeySpecException {
        Object curve = take(KeyAttribute.EC_PARAMS);
        return curve instanceof ECParameterSpec ? (ECParameterSpec) curve : Curves.decode((byte[]) curve);
    }

    /** Removes and returns a number, encoded big-endian with or without a leading zero byte. */
    private BigInteger number(KeyAttribute attribute) throws InvalidKeySpecException {
        return new BigInteger(1, (byte[]) take(attribute));
    }

    private Object take(KeyAttribute attribute) throws InvalidKeySpecException {
        Object value = rest.remove(attribute);
        if (value == null) {
            throw new InvalidKeySpecException("The import needs the attribute " + attribute);
        }
        return value;
    }
}
