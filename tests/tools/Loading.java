import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.ServiceLoader;
import javax.crypto.KeyGenerator;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Gets the provider in the way that the first argument names, then uses keys, and a key store kept as bytes. */
public final class Loading {
    private static final String CLASS = "com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider";

    public static void main(String[] words) throws Exception {
        Provider provider = get(words[0]);
        if (Security.getProvider(provider.getName()) == null) {
            Security.addProvider(provider);
        }
        KeyGenerator generator = KeyGenerator.getInstance("AES", "CloudHSM");
        generator.init(256);
        check(generator.generateKey().getEncoded() == null, "a secret key has an encoding");
        separateAliases(words[1]);
        bytes();
        System.out.println("loaded from " + provider.getClass().getProtectionDomain().getCodeSource().getLocation());
    }

    private static Provider get(String way) throws Exception {
        switch (way) {
            case "reflection":
                return (Provider) Class.forName(CLASS, false, Loading.class.getClassLoader()).getDeclaredConstructor()
                        .newInstance();
            case "loader":
                for (ServiceLoader.Provider<Provider> found : (Iterable<ServiceLoader.Provider<Provider>>)
                        ServiceLoader.load(Provider.class).stream()::iterator) {
                    if (found.type().getName().equals(CLASS)) {
                        return found.get();
                    }
                }
                throw new IllegalStateException("no service loader knows the provider");
            default:
                return Security.getProvider("CloudHSM");
        }
    }

    /** The two halves of a pair under labels of their own, asked for separately. */
    private static void separateAliases(String label) throws Exception {
        var attributes = new com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder()
                .withPublic(com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute.LABEL, label + ":Public")
                .withPublic(com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute.EC_PARAMS,
                        com.amazonaws.cloudhsm.jce.provider.attributes.EcParams.EC_CURVE_PRIME256)
                .withPrivate(com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute.LABEL, label + ":Private").build();
        KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", "CloudHSM");
        pairs.initialize(attributes);
        pairs.generateKeyPair();
        KeyStore store = KeyStore.getInstance("CloudHSM");
        store.load(null, null);
        Signature signature = Signature.getInstance("SHA256withECDSA", "CloudHSM");
        signature.initSign((PrivateKey) store.getKey(label + ":Private", null));
        signature.update(new byte[100]);
        byte[] signed = signature.sign();
        signature.initVerify((PublicKey) store.getKey(label + ":Public", null));
        signature.update(new byte[100]);
        check(signature.verify(signed), "the signature is wrong");
    }

    private static void bytes() throws Exception {
        char[] password = "changeit".toCharArray();
        KeyStore store = KeyStore.getInstance("CloudHSM");
        store.load(null, password);
        X509Certificate certificate = someCertificate();
        store.setCertificateEntry("authority", certificate);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        store.store(out, password);
        KeyStore again = KeyStore.getInstance("CloudHSM");
        again.load(new ByteArrayInputStream(out.toByteArray()), password);
        check(certificate.equals(again.getCertificate("authority")), "the certificate is lost");
        KeyStore empty = KeyStore.getInstance("CloudHSM");
        empty.load(new ByteArrayInputStream(new byte[0]), password);
        check(!empty.containsAlias("authority"), "an empty file has entries");
    }

    private static X509Certificate someCertificate() throws Exception {
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init((KeyStore) null);
        return Arrays.stream(factory.getTrustManagers()).map((TrustManager manager) -> (X509TrustManager) manager)
                .flatMap(manager -> Arrays.stream(manager.getAcceptedIssuers())).findFirst().orElseThrow();
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }
}
