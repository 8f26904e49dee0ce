import static org.junit.jupiter.api.Assertions.assertEquals;

import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import io.hsmbridge.junit5.Hsm;
import io.hsmbridge.junit5.HsmTest;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import org.junit.jupiter.api.RepeatedTest;

@HsmTest
class NamedKeyTest {
    @RepeatedTest(2)
    void doesNotSeeTheKeysOfOtherTests(Hsm hsm) throws Exception {
        KeyStore store = KeyStore.getInstance("CloudHSM", hsm.provider());
        store.load(null, null);
        assertEquals(0, store.size());

        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", hsm.provider());
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256)
                .withPrivate(KeyAttribute.LABEL, "release")
                .withPrivate(KeyAttribute.TOKEN, true)
                .build());
        generator.generateKeyPair();
        assertEquals("EC", store.getKey("release", null).getAlgorithm());
    }
}
