import java.io.FileWriter;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.SignerInfoGenerator;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TSPAlgorithms;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampResponseGenerator;
import org.bouncycastle.tsp.TimeStampTokenGenerator;

/**
 * BouncyCastle with a key of the HSM as its signer: {@code POSITION STORE FOLDER (ALIAS ALGORITHM)...}.
 *
 * <p>FOLDER has {@code data} and {@code request.tsq}. Of each pair it makes, with {@code ALIAS-ALGORITHM-} in front, an
 * authority's certificate {@code ca.pem}, one that it issued for another key {@code leaf.pem}, the signed data
 * {@code signed.p7}, and the answer to the request {@code answer.tsr}.
 */
final class Bouncy {
    private static final ASN1ObjectIdentifier POLICY = new ASN1ObjectIdentifier("1.2.3.4.1");

    private final Path folder;
    private final String prefix;
    private final X500Name authority;
    private final PublicKey ownKey;
    private final ContentSigner signer;

    private Bouncy(Path folder, String name, PublicKey ownKey, ContentSigner signer) {
        this.folder = folder;
        this.prefix = name + "-";
        this.authority = new X500Name("CN=" + name);
        this.ownKey = ownKey;
        this.signer = signer;
    }

    public static void main(String[] arguments) throws Exception {
        Hsm.register(arguments[0]);
        KeyStore store = Hsm.keyStore(arguments[1]);
        for (int i = 3; i < arguments.length; i += 2) {
            String alias = arguments[i];
            PrivateKey key = (PrivateKey) store.getKey(alias, null);
            ContentSigner signer = new JcaContentSignerBuilder(arguments[i + 1]).setProvider("CloudHSM").build(key);
            PublicKey publicKey = store.getCertificate(alias).getPublicKey();
            new Bouncy(Path.of(arguments[2]), alias + "-" + arguments[i + 1], publicKey, signer).makeAll();
        }
    }

    private void makeAll() throws Exception {
        X509CertificateHolder root = certificate(authority, ownKey, builder ->
                builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true)));
        write("ca.pem", root);
        KeyPairGenerator other = KeyPairGenerator.getInstance("EC", "SunEC");
        other.initialize(256);
        write("leaf.pem", certificate(new X500Name("CN=leaf"), other.generateKeyPair().getPublic(), builder ->
                builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(false))));
        Files.write(folder.resolve(prefix + "signed.p7"), signedData(root));
        X509CertificateHolder clock = certificate(new X500Name("CN=clock"), ownKey, builder ->
                builder.addExtension(Extension.extendedKeyUsage, true, new ExtendedKeyUsage(KeyPurposeId.id_kp_timeStamping)));
        Files.write(folder.resolve(prefix + "answer.tsr"), timeStamp(clock));
    }

    /** Adds the extensions of one certificate. */
    private interface Extensions {
        void addTo(X509v3CertificateBuilder builder) throws IOException;
    }

    private X509CertificateHolder certificate(X500Name subject, PublicKey key, Extensions extensions) throws IOException {
        Instant now = Instant.now();
        X509v3CertificateBuilder builder = new X509v3CertificateBuilder(authority, BigInteger.valueOf(System.nanoTime()),
                Date.from(now.minus(Duration.ofHours(1))), Date.from(now.plus(Duration.ofDays(1))), subject,
                SubjectPublicKeyInfo.getInstance(key.getEncoded()));
        extensions.addTo(builder);
        return builder.build(signer);
    }

    private void write(String name, X509CertificateHolder certificate) throws IOException {
        try (JcaPEMWriter out = new JcaPEMWriter(new FileWriter(folder.resolve(prefix + name).toFile()))) {
            out.writeObject(certificate);
        }
    }

    private SignerInfoGenerator signerInfo(X509CertificateHolder certificate) throws Exception {
        return new JcaSignerInfoGeneratorBuilder(digests()).build(signer, certificate);
    }

    private static DigestCalculatorProvider digests() throws Exception {
        return new JcaDigestCalculatorProviderBuilder().build();
    }

    private byte[] signedData(X509CertificateHolder certificate) throws Exception {
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(signerInfo(certificate));
        generator.addCertificate(certificate);
        byte[] data = Files.readAllBytes(folder.resolve("data"));
        return generator.generate(new CMSProcessableByteArray(data), true).getEncoded();
    }

    private byte[] timeStamp(X509CertificateHolder certificate) throws Exception {
        TimeStampTokenGenerator tokens = new TimeStampTokenGenerator(signerInfo(certificate),
                digests().get(new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256)), POLICY);
        tokens.addCertificates(new JcaCertStore(List.of(certificate)));
        TimeStampRequest request = new TimeStampRequest(Files.readAllBytes(folder.resolve("request.tsq")));
        return new TimeStampResponseGenerator(tokens, TSPAlgorithms.ALLOWED)
                .generate(request, BigInteger.ONE, new Date()).getEncoded();
    }
}
