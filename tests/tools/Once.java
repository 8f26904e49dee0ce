import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import javax.security.auth.Destroyable;

/** Makes a token key pair, signs and verifies with it, and destroys the private key if the word "destroy" is given. */
public final class Once {
    public static void main(String[] words) throws Exception {
        Provider provider = new CloudHsmProvider();
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256).withPublic(KeyAttribute.TOKEN, true)
                .withPrivate(KeyAttribute.TOKEN, true).build());
        KeyPair pair = generator.generateKeyPair();
        Signature signature = Signature.getInstance("SHA256withECDSA", provider);
        signature.initSign(pair.getPrivate());
        signature.update(new byte[10]);
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update(new byte[10]);
        boolean verified = signature.verify(signed) && pair.getPublic() instanceof ECPublicKey;
        if (words.length > 0) {
            ((Destroyable) pair.getPrivate()).destroy();
        }
        System.out.println("signed: " + verified);
    }
}
