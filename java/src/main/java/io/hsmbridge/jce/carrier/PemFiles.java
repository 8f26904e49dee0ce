package io.hsmbridge.jce.carrier;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/** Reads certificates and private keys from PEM files (RFC 7468). */
final class PemFiles {
    private static final String BEGIN = "-----BEGIN PRIVATE KEY-----";
    private static final String END = "-----END PRIVATE KEY-----";
    private static final String[] ALGORITHMS = {"EC", "RSA"};

    private PemFiles() {}

    /**
     * Returns the certificates of a file, of which there is one at least.
     *
     * @throws IOException if the file cannot be read or has none
     */
    static List<X509Certificate> certificates(String file) throws IOException {
        List<X509Certificate> certificates = new ArrayList<>();
        try {
            byte[] content = Files.readAllBytes(Path.of(file));
            for (Certificate one : CertificateFactory.getInstance("X.509")
                    .generateCertificates(new ByteArrayInputStream(content))) {
                certificates.add((X509Certificate) one);
            }
        } catch (CertificateException e) {
            throw new IOException(file + " has no certificates in PEM: " + e.getMessage(), e);
        }
        if (certificates.isEmpty()) {
            throw new IOException(file + " has no certificates in PEM");
        }
        return certificates;
    }

    /**
     * Returns the private key of a file, an RSA or elliptic-curve key without a passphrase.
     *
     * @throws IOException if the file cannot be read or has no such key
     */
    static PrivateKey privateKey(String file) throws IOException {
        String text = Files.readString(Path.of(file), StandardCharsets.ISO_8859_1);
        int begin = text.indexOf(BEGIN);
        int end = text.indexOf(END);
        if (begin < 0 || end < begin) {
            throw new IOException(file + " has no private key in PKCS #8 without a passphrase; `openssl pkcs8 -topk8 -nocrypt`"
                    + " converts other keys");
        }
        byte[] encoded = Base64.getMimeDecoder().decode(text.substring(begin + BEGIN.length(), end));
        try {
            for (String algorithm : ALGORITHMS) {
                PrivateKey key = decoded(algorithm, encoded);
                if (key != null) {
                    return key;
                }
            }
        } finally {
            Arrays.fill(encoded, (byte) 0);
        }
        throw new IOException(file + " has a private key that is neither RSA nor elliptic-curve");
    }

    private static PrivateKey decoded(String algorithm, byte[] encoded) {
        try {
            return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(encoded));
        } catch (GeneralSecurityException e) {
            return null;
        }
    }
}
