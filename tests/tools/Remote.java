import com.amazonaws.cloudhsm.jce.provider.CloudHsmCluster;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProviderConfig;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmServer;
import com.amazonaws.cloudhsm.jce.provider.OptionalParameters;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;

/**
 * Uses an HSM over TLS: {@code config <host> <port> <authority>} with a configuration in code, {@code file} with the
 * default provider, {@code listed} with the provider of the JVM's list. Each line of standard input repeats the use.
 */
public final class Remote {
    public static void main(String[] words) throws Exception {
        Provider provider;
        if (words[0].equals("config")) {
            CloudHsmServer server = CloudHsmServer.builder().withHostIP(words[1])
                    .withPort(Integer.parseInt(words[2])).build();
            CloudHsmCluster cluster = CloudHsmCluster.builder().withHsmCAFilePath(words[3]).withServer(server)
                    .withOptions(OptionalParameters.KEY_AVAILABILITY_CHECK, false)
                    .withClusterUniqueIdentifier("CloudHSM1").build();
            provider = new CloudHsmProvider(CloudHsmProviderConfig.builder().withCluster(cluster).build());
        } else if (words[0].equals("listed")) {
            provider = Security.getProviders()[0];
            System.out.println("first: " + provider.getName());
        } else {
            provider = new CloudHsmProvider();
        }
        KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", provider);
        pairs.initialize(256);
        KeyPair pair = pairs.generateKeyPair();
        KeyGenerator secrets = KeyGenerator.getInstance("AES", provider);
        secrets.init(256);
        SecretKey secret = secrets.generateKey();
        do {
            use(provider, pair, secret);
            System.out.println("used");
        } while (System.in.read() >= 0);
    }

    private static void use(Provider provider, KeyPair pair, SecretKey secret) throws Exception {
        Signature signature = Signature.getInstance("SHA256withECDSA", provider);
        signature.initSign(pair.getPrivate());
        signature.update(new byte[100]);
        byte[] signed = signature.sign();
        Signature check = Signature.getInstance("SHA256withECDSA", "SunEC");
        check.initVerify(pair.getPublic());
        check.update(new byte[100]);
        if (!check.verify(signed)) {
            throw new AssertionError("the signature is wrong");
        }
        // From one byte to many records, back and forth.
        for (int length : new int[] {1, 16_000, 16_384, 20_000, 65_536, 3_000_000}) {
            byte[] data = new byte[length];
            Arrays.fill(data, (byte) length);
            Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", provider);
            cipher.init(Cipher.ENCRYPT_MODE, secret);
            byte[] encrypted = cipher.doFinal(data);
            cipher.init(Cipher.DECRYPT_MODE, secret, new javax.crypto.spec.GCMParameterSpec(128, cipher.getIV()));
            if (!Arrays.equals(data, cipher.doFinal(encrypted))) {
                throw new AssertionError("decrypted something else");
            }
        }
    }
}
