import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMap;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.Security;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.SecretKey;
import javax.crypto.ShortBufferException;
import javax.crypto.spec.SecretKeySpec;

/** Agrees on a secret without a KDF, in the HSM and in software, and says whether they are the same. */
public final class Agreement {
    public static void main(String[] words) throws Exception {
        Provider provider = new CloudHsmProvider();
        KeyPairAttributesMap attributes = new KeyPairAttributesMap();
        attributes.putPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256);
        attributes.putPrivate(KeyAttribute.DERIVE, false);
        System.out.println("replaced " + attributes.putPrivate(KeyAttribute.DERIVE, true));
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
        generator.initialize(attributes);
        KeyPair ours = generator.generateKeyPair();
        KeyPairGenerator software = KeyPairGenerator.getInstance("EC", "SunEC");
        software.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair theirs = software.generateKeyPair();

        KeyAgreement other = KeyAgreement.getInstance("ECDH", "SunEC");
        other.init(theirs.getPrivate());
        other.doPhase(ours.getPublic(), true);
        byte[] secret = other.generateSecret();

        KeyAgreement agreement = KeyAgreement.getInstance("ECDH", provider);
        agreement.init(ours.getPrivate());
        agreement.doPhase(theirs.getPublic(), true);
        SecretKey key = agreement.generateSecret("AES");
        System.out.println("key " + Arrays.equals(sealed(key, provider),
                sealed(new SecretKeySpec(secret, "AES"), Security.getProvider("SunJCE"))));
        agreement.doPhase(theirs.getPublic(), true);
        try {
            agreement.generateSecret(new byte[31], 0);
        } catch (ShortBufferException e) {
            System.out.println("short");
        }
        System.out.println("raw " + Arrays.equals(agreement.generateSecret(), secret));
    }

    private static byte[] sealed(SecretKey key, Provider provider) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/ECB/NoPadding", provider);
        cipher.init(Cipher.ENCRYPT_MODE, key);
        return cipher.doFinal(new byte[16]);
    }
}
