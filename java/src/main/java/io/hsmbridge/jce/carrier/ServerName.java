package io.hsmbridge.jce.carrier;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import javax.net.ssl.SSLPeerUnverifiedException;

/**
 * Compares the name of a host with those of a certificate (RFC 6125, without wildcards). A certificate of {@code openssl
 * x509} without {@code -copy_extensions}, as CloudHSM's guide has it, has no names. It is accepted if its subject is an
 * HSM's, because the authority signs for HSMs alone.
 */
final class ServerName {
    private static final int DNS = 2;
    private static final int ADDRESS = 7;
    private static final String HSM = "CN=HSM:";

    private ServerName() {}

    /**
     * Checks that the certificate is that of the host.
     *
     * @throws SSLPeerUnverifiedException if it names other hosts
     */
    static void require(X509Certificate certificate, String host) throws SSLPeerUnverifiedException {
        List<String> names = new ArrayList<>();
        for (List<?> name : namesOf(certificate)) {
            Object value = name.get(1);
            if (name.get(0).equals(DNS) || name.get(0).equals(ADDRESS)) {
                names.add((String) value);
                if (isHost((Integer) name.get(0), (String) value, host)) {
                    return;
                }
            }
        }
        String subject = certificate.getSubjectX500Principal().getName();
        if (names.isEmpty() && subject.contains(HSM)) {
            return;
        }
        throw new SSLPeerUnverifiedException("its certificate is for "
                + (names.isEmpty() ? subject : String.join(", ", names)) + ", not for " + host);
    }

    private static Collection<List<?>> namesOf(X509Certificate certificate) throws SSLPeerUnverifiedException {
        try {
            Collection<List<?>> names = certificate.getSubjectAlternativeNames();
            return names == null ? List.of() : names;
        } catch (CertificateParsingException e) {
            throw new SSLPeerUnverifiedException("the names in its certificate cannot be read: " + e.getMessage());
        }
    }

    private static boolean isHost(int kind, String name, String host) {
        if (kind == DNS) {
            return name.toLowerCase(Locale.ROOT).equals(host.toLowerCase(Locale.ROOT));
        }
        try {
            // Only an address as text is compared; a name would be looked up.
            return (host.indexOf(':') >= 0 || !host.isEmpty() && Character.isDigit(host.charAt(host.length() - 1)))
                    && InetAddress.getByName(name).equals(InetAddress.getByName(host));
        } catch (UnknownHostException e) {
            return false;
        }
    }
}
