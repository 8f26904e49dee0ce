package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.settings.Settings;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.security.cert.Certificate;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.HashSet;
import java.util.Set;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.TrustManagerFactory;

/** The certificates of a client's TLS: the authority of the HSMs, and the client's own if it has one. */
final class TlsIdentity {
    private static final String[] VERSIONS = {"TLSv1.3"};

    private final String authorityFile;
    private final SSLContext context;

    /**
     * Reads the files of the configuration.
     *
     * @throws IOException if a file cannot be read, or is not what it should be
     */
    TlsIdentity(Settings.Tls files) throws IOException {
        authorityFile = files.authority();
        OwnTls.enter();
        try {
            context = context(files);
        } finally {
            OwnTls.leave();
        }
    }

    private static SSLContext context(Settings.Tls files) throws IOException {
        Set<TrustAnchor> anchors = new HashSet<>();
        for (X509Certificate certificate : PemFiles.certificates(files.authority())) {
            anchors.add(new TrustAnchor(certificate, null));
        }
        try {
            PKIXBuilderParameters trust = new PKIXBuilderParameters(anchors, new X509CertSelector());
            trust.setRevocationEnabled(false);
            TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
            factory.init(new CertPathTrustManagerParameters(trust));
            KeyManager[] own = files.certificate() == null ? new KeyManager[0] : new KeyManager[] {
                OwnKey.of(files.certificate(), files.key())};
            SSLContext context = SSLContext.getInstance("TLSv1.3");
            context.init(own, factory.getTrustManagers(), new SecureRandom());
            return context;
        } catch (GeneralSecurityException e) {
            throw new IOException("TLS cannot be prepared with " + files.authority() + ": " + e.getMessage(), e);
        }
    }

    /** Returns the path of the file with the authority's certificate. */
    String authorityFile() {
        return authorityFile;
    }

    /** Returns an engine for a new connection. */
    SSLEngine engine(String host, int port) {
        SSLEngine engine = context.createSSLEngine(host, port);
        engine.setUseClientMode(true);
        SSLParameters parameters = engine.getSSLParameters();
        parameters.setProtocols(VERSIONS);
        engine.setSSLParameters(parameters);
        return engine;
    }

    /**
     * Checks that the server's certificate is that of the host.
     *
     * @throws SSLPeerUnverifiedException if it names other hosts
     */
    void requireName(SSLSession session, String host) throws SSLPeerUnverifiedException {
        Certificate[] chain = session.getPeerCertificates();
        ServerName.require((X509Certificate) chain[0], host);
    }
}
