import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.ProviderException;
import java.security.Signature;

/** Makes a token key and signs with it; tells which of the two lost the HSM. */
public final class Retried {
    public static void main(String[] words) throws Exception {
        Provider provider = new CloudHsmProvider();
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256).withPublic(KeyAttribute.TOKEN, true)
                .withPrivate(KeyAttribute.TOKEN, true).build());
        KeyPair pair;
        try {
            pair = generator.generateKeyPair();
        } catch (ProviderException e) {
            System.out.println("generating: " + e.getMessage());
            return;
        }
        Signature signature = Signature.getInstance("SHA256withECDSA", provider);
        signature.initSign(pair.getPrivate());
        signature.update(new byte[10]);
        try {
            System.out.println("signed: " + (signature.sign().length > 0));
        } catch (ProviderException e) {
            System.out.println("signing: " + e.getMessage());
        }
    }
}
