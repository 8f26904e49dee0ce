import com.nimbusds.jose.JWEObject;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.Payload;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.RSADecrypter;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.Curve;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;

/**
 * Nimbus JOSE+JWT with keys of the HSM.
 *
 * <p>{@code sign POSITION STORE PAYLOAD ALGORITHM...} prints a token of each; {@code decrypt POSITION STORE TOKEN...} prints
 * what is in each.
 */
final class Jose {
    private Jose() {}

    public static void main(String[] arguments) throws Exception {
        Provider provider = Hsm.register(arguments[1]);
        KeyStore store = Hsm.keyStore(arguments[2]);
        if (arguments[0].equals("decrypt")) {
            RSADecrypter decrypter = new RSADecrypter((PrivateKey) store.getKey("rsa", null));
            for (int i = 3; i < arguments.length; i++) {
                JWEObject token = JWEObject.parse(arguments[i]);
                token.decrypt(decrypter);
                System.out.println(token.getPayload());
            }
            return;
        }
        for (int i = 4; i < arguments.length; i++) {
            JWSAlgorithm algorithm = JWSAlgorithm.parse(arguments[i]);
            JWSSigner signer = JWSAlgorithm.Family.EC.contains(algorithm)
                    ? new ECDSASigner((PrivateKey) store.getKey("ec", null), Curve.P_256)
                    : new RSASSASigner((PrivateKey) store.getKey("rsa", null));
            signer.getJCAContext().setProvider(provider);
            JWSObject token = new JWSObject(new JWSHeader(algorithm), new Payload(arguments[3]));
            token.sign(signer);
            System.out.println(token.serialize());
        }
    }
}
