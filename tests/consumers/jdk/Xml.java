import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.List;
import javax.xml.crypto.dsig.CanonicalizationMethod;
import javax.xml.crypto.dsig.DigestMethod;
import javax.xml.crypto.dsig.SignedInfo;
import javax.xml.crypto.dsig.Transform;
import javax.xml.crypto.dsig.XMLSignature;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMSignContext;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.crypto.dsig.keyinfo.KeyInfo;
import javax.xml.crypto.dsig.keyinfo.KeyInfoFactory;
import javax.xml.crypto.dsig.spec.C14NMethodParameterSpec;
import javax.xml.crypto.dsig.spec.RSAPSSParameterSpec;
import javax.xml.crypto.dsig.spec.SignatureMethodParameterSpec;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.w3c.dom.Document;

/**
 * The JDK's XML signature.
 *
 * <p>{@code sign POSITION STORE named|unnamed (ALIAS METHOD FILE)...} signs each FILE in place; {@code named} tells the JDK
 * the provider. {@code verify (FILE CERTIFICATE)...} says {@code valid} or {@code invalid} of each, and needs no provider.
 */
final class Xml {
    private static final String PROVIDER = "org.jcp.xml.dsig.internal.dom.SignatureProvider";

    private Xml() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("verify")) {
            for (int i = 1; i < arguments.length; i += 2) {
                System.out.println(valid(parse(Path.of(arguments[i])), Path.of(arguments[i + 1])) ? "valid" : "invalid");
            }
            return;
        }
        Provider provider = Hsm.register(arguments[1]);
        KeyStore store = Hsm.keyStore(arguments[2]);
        for (int i = 4; i < arguments.length; i += 3) {
            Document document = parse(Path.of(arguments[i + 2]));
            PrivateKey key = (PrivateKey) store.getKey(arguments[i], null);
            DOMSignContext context = new DOMSignContext(key, document.getDocumentElement());
            if (arguments[3].equals("named")) {
                context.setProperty(PROVIDER, provider);
            }
            sign(context, arguments[i + 1], (X509Certificate) store.getCertificate(arguments[i]));
            try (OutputStream out = Files.newOutputStream(Path.of(arguments[i + 2]))) {
                TransformerFactory.newInstance().newTransformer().transform(new DOMSource(document), new StreamResult(out));
            }
        }
    }

    private static Document parse(Path file) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        return factory.newDocumentBuilder().parse(file.toFile());
    }

    private static void sign(DOMSignContext context, String method, X509Certificate certificate) throws Exception {
        XMLSignatureFactory factory = XMLSignatureFactory.getInstance("DOM");
        SignatureMethodParameterSpec parameters = method.endsWith("#rsa-pss") ? new RSAPSSParameterSpec(
                new PSSParameterSpec("SHA-384", "MGF1", MGF1ParameterSpec.SHA384, 48, 1)) : null;
        SignedInfo info = factory.newSignedInfo(
                factory.newCanonicalizationMethod(CanonicalizationMethod.EXCLUSIVE, (C14NMethodParameterSpec) null),
                factory.newSignatureMethod(method, parameters),
                List.of(factory.newReference("", factory.newDigestMethod(DigestMethod.SHA256, null),
                        List.of(factory.newTransform(Transform.ENVELOPED, (TransformParameterSpec) null)), null, null)));
        KeyInfoFactory keys = factory.getKeyInfoFactory();
        KeyInfo key = keys.newKeyInfo(List.of(keys.newX509Data(List.of(certificate))));
        factory.newXMLSignature(info, key).sign(context);
    }

    private static boolean valid(Document document, Path certificate) throws Exception {
        PublicKey key;
        try (InputStream in = Files.newInputStream(certificate)) {
            key = CertificateFactory.getInstance("X.509").generateCertificate(in).getPublicKey();
        }
        DOMValidateContext context = new DOMValidateContext(key,
                document.getElementsByTagNameNS(XMLSignature.XMLNS, "Signature").item(0));
        return XMLSignatureFactory.getInstance("DOM").unmarshalXMLSignature(context).validate(context);
    }
}
