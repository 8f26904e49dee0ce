import static org.junit.jupiter.api.Assertions.assertTrue;

import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.Signature;
import org.junit.jupiter.api.Test;
import org.testcontainers.junit.jupiter.Container;
import org.testcontainers.junit.jupiter.Testcontainers;

@Testcontainers
class SigningInContainerTest {
    @Container
    private static final HsmContainer HSM = new HsmContainer("hsmbridge");

    @Test
    void signs() throws Exception {
        Provider provider = HSM.provider();
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        Signature signature = Signature.getInstance("SHA256withECDSA", provider);
        signature.initSign(pair.getPrivate());
        signature.update("text".getBytes());
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update("text".getBytes());
        assertTrue(signature.verify(signed));
    }
}
