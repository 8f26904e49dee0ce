import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.security.AuthProvider;
import java.security.Key;
import java.security.KeyStore;
import java.util.Base64;
import javax.crypto.KeyGenerator;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.PasswordCallback;

/** Makes the default provider, uses it, and prints what the arguments ask for. */
public final class Configured {
    public static void main(String[] words) throws Exception {
        AuthProvider provider = new CloudHsmProvider();
        KeyGenerator generator = KeyGenerator.getInstance("AES", provider);
        Key key;
        try {
            key = generator.generateKey();
        } catch (com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException e) {
            provider.login(null, callbacks -> {
                for (Callback callback : callbacks) {
                    if (callback instanceof PasswordCallback) {
                        ((PasswordCallback) callback).setPassword(words[0].toCharArray());
                    }
                }
            });
            key = generator.generateKey();
            provider.logout();
            return;
        }
        System.out.println(key.getEncoded() == null ? "opaque" : key.getFormat() + " "
                + Base64.getEncoder().encodeToString(key.getEncoded()).length());
        KeyStore store = KeyStore.getInstance("CloudHSM", provider);
        store.load(null, null);
        System.out.println(store.containsAlias("nobody\nknows") ? "there" : "not there");
        try {
            KeyAttributesMap attributes = new KeyAttributesMap();
            attributes.put(KeyAttribute.LABEL, "x".repeat(200));
            generator.init(attributes);
            generator.generateKey();
        } catch (java.security.InvalidParameterException e) {
            System.out.println("refused");
        }
    }
}
