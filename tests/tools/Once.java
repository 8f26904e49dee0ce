import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.Signature;
import javax.security.auth.Destroyable;

/** Makes a token key pair, signs and verifies with it. Then makes another or destroys the private key, as a line says. */
public final class Once {
    private static final Provider HSM = hsm();

    private static Provider hsm() {
        try {
            return new CloudHsmProvider();
        } catch (Exception e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    public static void main(String[] words) throws Exception {
        KeyPair first = pair();
        System.out.println("signed: " + signs(first));
        String change = new BufferedReader(new InputStreamReader(System.in)).readLine();
        if (change.equals("generate")) {
            System.out.println("signed: " + signs(pair()));
        } else {
            ((Destroyable) first.getPrivate()).destroy();
            System.out.println("signed: true");
        }
    }

    private static KeyPair pair() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", HSM);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256).withPublic(KeyAttribute.TOKEN, true)
                .withPrivate(KeyAttribute.TOKEN, true).build());
        return generator.generateKeyPair();
    }

    private static boolean signs(KeyPair pair) throws Exception {
        Signature signature = Signature.getInstance("SHA256withECDSA", HSM);
        signature.initSign(pair.getPrivate());
        signature.update(new byte[10]);
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update(new byte[10]);
        return signature.verify(signed);
    }
}
