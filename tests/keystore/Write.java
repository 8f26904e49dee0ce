import java.io.*; import java.security.KeyStore; import java.security.cert.*; import java.util.*;
class Write {
    public static void main(String[] arguments) throws Exception {
        File file = new File(System.getProperty("java.home"), "lib/security/cacerts");
        KeyStore roots = KeyStore.getInstance(file, (char[]) null);
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setCertificateEntry("one", roots.getCertificate(roots.aliases().nextElement()));
        try (OutputStream out = new FileOutputStream(arguments[0])) {
            store.store(out, null);
        }
    }
}
