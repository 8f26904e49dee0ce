import static org.junit.jupiter.api.Assertions.assertTrue;

import io.hsmbridge.junit5.Hsm;
import io.hsmbridge.junit5.HsmTest;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import org.junit.jupiter.api.Test;

@HsmTest
class SigningTest {
    @Test
    void signs(Hsm hsm) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", hsm.provider());
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        Signature signature = Signature.getInstance("SHA256withECDSA", hsm.provider());
        signature.initSign(pair.getPrivate());
        signature.update("text".getBytes());
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update("text".getBytes());
        assertTrue(signature.verify(signed));
    }
}
