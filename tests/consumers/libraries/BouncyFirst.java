import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.Signature;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/** Signs with an RSA key of the HSM where BouncyCastle is before it in the JVM's list: {@code STORE}. */
final class BouncyFirst {
    private BouncyFirst() {}

    public static void main(String[] arguments) throws Exception {
        Hsm.register("last");
        Security.insertProviderAt(new BouncyCastleProvider(), 1);
        KeyStore store = Hsm.keyStore(arguments[0]);
        PrivateKey key = (PrivateKey) store.getKey("rsa", null);
        System.out.println("unnamed: " + signed(Signature.getInstance("SHA256withRSA"), key));
        System.out.println("named: " + signed(Signature.getInstance("SHA256withRSA", "CloudHSM"), key));
        Security.removeProvider(BouncyCastleProvider.PROVIDER_NAME);
        Security.addProvider(new BouncyCastleProvider());
        System.out.println("after: " + signed(Signature.getInstance("SHA256withRSA"), key));
    }

    private static String signed(Signature signature, PrivateKey key) {
        try {
            signature.initSign(key);
            signature.update(new byte[10]);
            return signature.sign().length + " bytes";
        } catch (Exception e) {
            return e.getClass().getSimpleName();
        }
    }
}
