import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.security.KeyStore;
import java.security.Provider;
import java.util.Collections;
import java.util.List;
import javax.crypto.KeyGenerator;

/** Makes and counts token keys. */
final class Keys {
    private Keys() {}

    static void make(Provider provider, String label) throws Exception {
        KeyAttributesMap attributes = new KeyAttributesMap();
        attributes.put(KeyAttribute.LABEL, label);
        attributes.put(KeyAttribute.SIZE, 256);
        attributes.put(KeyAttribute.TOKEN, true);
        KeyGenerator generator = KeyGenerator.getInstance("AES", provider);
        generator.init(attributes);
        generator.generateKey();
    }

    static List<String> labels(Provider provider) throws Exception {
        KeyStore store = KeyStore.getInstance("CloudHSM", provider);
        store.load(null, null);
        return Collections.list(store.aliases());
    }
}
