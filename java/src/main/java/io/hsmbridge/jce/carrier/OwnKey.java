package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.cert.X509Certificate;
import java.util.List;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

/** Gives TLS the client's only certificate and key. */
final class OwnKey extends X509ExtendedKeyManager {
    private static final String ALIAS = "client";

    private final X509Certificate[] chain;
    private final PrivateKey key;

    OwnKey(List<X509Certificate> chain, PrivateKey key) {
        this.chain = chain.toArray(new X509Certificate[0]);
        this.key = key;
    }

    /**
     * Reads a certificate and its private key.
     *
     * @throws IOException if a file cannot be read, or the key is that of another certificate
     * @throws GeneralSecurityException if the JVM has no signature for such keys
     */
    static OwnKey of(String certificateFile, String keyFile) throws IOException, GeneralSecurityException {
        List<X509Certificate> chain = PemFiles.certificates(certificateFile);
        PrivateKey key = PemFiles.privateKey(keyFile);
        if (!fits(chain.get(0).getPublicKey(), key)) {
            throw new IOException(keyFile + " is not the private key of the certificate in " + certificateFile);
        }
        return new OwnKey(chain, key);
    }

    /** Returns whether the public key verifies what the private key signs. */
    private static boolean fits(PublicKey publicKey, PrivateKey key) throws GeneralSecurityException {
        if (!publicKey.getAlgorithm().equals(key.getAlgorithm())) {
            return false;
        }
        byte[] data = new byte[1];
        Signature signature = Signature.getInstance(key.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA");
        signature.initSign(key);
        signature.update(data);
        byte[] signed = signature.sign();
        signature.initVerify(publicKey);
        signature.update(data);
        try {
            return signature.verify(signed);
        } catch (SignatureException e) {
            return false;
        }
    }

    private String aliasFor(String[] types) {
        for (String type : types) {
            if (type.equals(key.getAlgorithm())) {
                return ALIAS;
            }
        }
        return null;
    }

    @Override
    public String chooseEngineClientAlias(String[] types, Principal[] issuers, SSLEngine engine) {
        return aliasFor(types);
    }

    @Override
    public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
        return aliasFor(types);
    }

    @Override
    public String[] getClientAliases(String type, Principal[] issuers) {
        return new String[] {ALIAS};
    }

    @Override
    public X509Certificate[] getCertificateChain(String alias) {
        return chain.clone();
    }

    @Override
    public PrivateKey getPrivateKey(String alias) {
        return key;
    }

    @Override
    public String[] getServerAliases(String type, Principal[] issuers) {
        return null;
    }

    @Override
    public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
        return null;
    }
}
