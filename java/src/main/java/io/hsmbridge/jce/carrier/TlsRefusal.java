package io.hsmbridge.jce.carrier;

import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.Locale;
import java.util.Map;

/** Puts the failure of a TLS handshake into words. */
final class TlsRefusal {
    /** Alerts with which a server ends a handshake (RFC 8446, 6.2), as JSSE's messages name them. */
    private static final Map<String, String> ALERTS = Map.of(
            "unknown_ca", "no trust anchor of the HSM has signed the certificate of this client",
            "certificate_required", "it takes clients with a certificate of a registered trust anchor only",
            "certificate_expired", "the certificate of this client has expired, or is not valid yet",
            "unsupported_certificate", "the certificate of this client is for another purpose",
            "bad_certificate", "the certificate of this client is not accepted",
            "certificate_unknown", "the certificate of this client is not accepted",
            "protocol_version", "it does not speak TLS 1.3");

    private TlsRefusal() {}

    /** Returns the reason of a failure to connect. */
    static String reason(Throwable failure, TlsIdentity identity) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof CertificateExpiredException) {
                return "its certificate has expired (" + cause.getMessage() + ")";
            }
            if (cause instanceof CertificateNotYetValidException) {
                return "its certificate is not valid yet (" + cause.getMessage() + ")";
            }
            if (cause instanceof CertPathBuilderException) {
                return "no authority in " + identity.authorityFile() + " has signed its certificate";
            }
        }
        String alert = alert(failure);
        if (alert != null) {
            return alert;
        }
        String message = String.valueOf(failure.getMessage());
        return message.contains("protocol version") && message.contains("not accepted")
                ? "it does not speak TLS 1.3 (" + message + ")" : message;
    }

    /** Returns the meaning of the alert that the server has sent, or null if the failure is no alert. */
    static String alert(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            String message = String.valueOf(cause.getMessage());
            int at = message.indexOf("fatal alert: ");
            if (at >= 0) {
                String name = message.substring(at + "fatal alert: ".length()).trim().toLowerCase(Locale.ROOT);
                return ALERTS.getOrDefault(name, message);
            }
        }
        return null;
    }
}
