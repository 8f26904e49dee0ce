import com.amazonaws.cloudhsm.jce.jni.exception.ProviderInitializationException;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.lang.ref.Reference;
import java.security.Provider;
import java.security.Security;

/** Makes default providers: a second one while one is registered, and another after it was removed. */
public final class Instances {
    public static void main(String[] words) throws Exception {
        Provider first = new CloudHsmProvider();
        Security.addProvider(first);
        try {
            System.out.println("made " + new CloudHsmProvider().getName());
        } catch (ProviderInitializationException e) {
            System.out.println("refused");
        }
        Security.removeProvider(first.getName());
        System.out.println("made " + new CloudHsmProvider().getName());
        Reference.reachabilityFence(first);
    }
}
