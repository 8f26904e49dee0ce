import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.Signature;

/** Signs a text with a key in the HSM, and verifies the signature with the JDK's own provider. */
public class First {
    private static final String FILE = "@FILE@";
    private static final String ALIAS = "@ALIAS@";

    public static void main(String[] arguments) throws Exception {
        // The provider logs in with HSM_USER and HSM_PASSWORD.
        Security.addProvider(new CloudHsmProvider());
        KeyStore store = KeyStore.getInstance("CloudHSM");
        try (InputStream file = new FileInputStream(FILE)) {
            store.load(file, "changeit".toCharArray());
        }
        PrivateKey key = (PrivateKey) store.getKey(ALIAS, null);
        byte[] text = "Hello, HSM".getBytes(StandardCharsets.UTF_8);

        Signature signature = Signature.getInstance("SHA256withECDSA", CloudHsmProvider.PROVIDER_NAME);
        signature.initSign(key);
        signature.update(text);
        byte[] signed = signature.sign();

        Signature verifier = Signature.getInstance("SHA256withECDSA", "SunEC");
        verifier.initVerify(store.getCertificate(ALIAS));
        verifier.update(text);
        System.out.println("Signed with " + ALIAS + " in the HSM: " + signed.length + " bytes, "
                + (verifier.verify(signed) ? "verified" : "NOT VERIFIED"));
    }
}
