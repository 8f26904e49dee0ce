import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.ProviderException;
import java.security.Signature;

/** Makes a token key, or a session key, and signs with it twice; tells which step lost the HSM. */
public final class Retried {
    public static void main(String[] words) throws Exception {
        Provider provider = new CloudHsmProvider();
        boolean isToken = words.length == 0;
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256).withPublic(KeyAttribute.TOKEN, isToken)
                .withPrivate(KeyAttribute.TOKEN, isToken).build());
        KeyPair pair;
        try {
            pair = generator.generateKeyPair();
        } catch (ProviderException e) {
            System.out.println("generating: " + e.getMessage());
            return;
        }
        Signature signature = Signature.getInstance("SHA256withECDSA", provider);
        signature.initSign(pair.getPrivate());
        try {
            signature.update(new byte[10]);
            signature.sign();
            signature.update(new byte[10]);
            System.out.println("signed: " + (signature.sign().length > 0));
        } catch (ProviderException e) {
            System.out.println("signing: " + e.getMessage());
        }
    }
}
