import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMapBuilder;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.io.OutputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.util.Collections;
import java.util.Date;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/**
 * The life of a key store: {@code FILE LABEL}. Without an entry for the label it makes a session key pair and a certificate
 * that has ended already, links them and stores; each run ends with a signature that the certificate verifies.
 */
final class KeyStoreFlow {
    private KeyStoreFlow() {}

    public static void main(String[] arguments) throws Exception {
        Hsm.register("last");
        Path file = Path.of(arguments[0]);
        String alias = arguments[1] + ":Private";
        KeyStore store = KeyStore.getInstance(CloudHsmProvider.PROVIDER_NAME);
        if (Files.exists(file)) {
            store = Hsm.keyStore(arguments[0]);
        } else {
            store.load(null, null);
        }
        boolean found = store.containsAlias(alias);
        if (!found) {
            create(store, arguments[1], alias);
            try (OutputStream out = Files.newOutputStream(file)) {
                store.store(out, Hsm.STORE_PASSWORD);
            }
        }
        assert store.isKeyEntry(alias) && !store.isCertificateEntry(alias);
        assert Collections.list(store.aliases()).contains(alias);
        KeyStore.ProtectionParameter password = new KeyStore.PasswordProtection(Hsm.STORE_PASSWORD);
        KeyStore.PrivateKeyEntry entry = (KeyStore.PrivateKeyEntry) store.getEntry(alias, password);
        assert entry.getPrivateKey().getEncoded() == null;
        assertSigns(entry.getPrivateKey(), (X509Certificate) entry.getCertificate());
        System.out.println(found ? "found" : "created");
    }

    private static void create(KeyStore store, String label, String alias) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA", CloudHsmProvider.PROVIDER_NAME);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(new KeyAttributesMapBuilder().put(KeyAttribute.LABEL, label + ":Public")
                        .put(KeyAttribute.VERIFY, true).put(KeyAttribute.MODULUS_BITS, 2048)
                        .put(KeyAttribute.PUBLIC_EXPONENT, BigInteger.valueOf(65537).toByteArray()).build())
                .withPrivate(new KeyAttributesMapBuilder().put(KeyAttribute.LABEL, alias)
                        .put(KeyAttribute.SIGN, true).build())
                .build());
        KeyPair pair = generator.generateKeyPair();
        X509Certificate[] chain = {certificate(pair)};
        store.setEntry(alias, new KeyStore.PrivateKeyEntry(pair.getPrivate(), chain),
                new KeyStore.PasswordProtection(Hsm.STORE_PASSWORD));
    }

    private static X509Certificate certificate(KeyPair pair) throws Exception {
        X500Name name = new X500Name("CN=key store flow");
        Date now = new Date();
        ContentSigner signer = new JcaContentSignerBuilder("SHA512WithRSA")
                .setProvider(CloudHsmProvider.PROVIDER_NAME).build(pair.getPrivate());
        SubjectPublicKeyInfo key = SubjectPublicKeyInfo.getInstance(pair.getPublic().getEncoded());
        return new JcaX509CertificateConverter().getCertificate(
                new X509v3CertificateBuilder(name, BigInteger.ONE, now, now, name, key).build(signer));
    }

    private static void assertSigns(PrivateKey key, X509Certificate certificate) throws Exception {
        byte[] data = {1, 2, 3};
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initSign(key);
        signature.update(data);
        byte[] signed = signature.sign();
        Signature judge = Signature.getInstance("SHA256withRSA", "SunRsaSign");
        judge.initVerify(certificate.getPublicKey());
        judge.update(data);
        assert judge.verify(signed);
    }
}
