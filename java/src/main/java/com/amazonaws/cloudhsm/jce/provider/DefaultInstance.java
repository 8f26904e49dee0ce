package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.jni.exception.ProviderInitializationException;
import java.lang.ref.WeakReference;
import java.security.Security;

/**
 * The rule for default providers: an application has one at a time. It is refused a second one while its first is
 * registered; once that is removed, it may make another. Those that the JDK makes by itself, from a line in
 * {@code java.security}, {@code -providerclass} or a service loader, neither count nor are refused, since a tool that is
 * told of the provider twice makes two and uses one.
 */
final class DefaultInstance {
    private static WeakReference<CloudHsmProvider> ofApplication = new WeakReference<>(null);

    private DefaultInstance() {}

    /** Refuses the application's second one. */
    static synchronized void admit() throws ProviderInitializationException {
        CloudHsmProvider first = ofApplication.get();
        if (first != null && isMadeByApplication() && Security.getProvider(first.getName()) == first) {
            throw new ProviderInitializationException("The CloudHSM provider is already initialized: use"
                    + " Security.getProvider(\"" + first.getName() + "\"), or make one with a CloudHsmProviderConfig");
        }
    }

    /** Remembers one that is made. */
    static synchronized void made(CloudHsmProvider provider) {
        if (isMadeByApplication()) {
            ofApplication = new WeakReference<>(provider);
        }
    }

    /** Looks at who called the constructor, reflection left out. The JDK's own classes have no loader, a native caller no frame. */
    private static boolean isMadeByApplication() {
        return StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE).walk(frames -> frames
                .map(StackWalker.StackFrame::getDeclaringClass)
                .filter(caller -> caller != DefaultInstance.class && caller != CloudHsmProvider.class)
                .findFirst()
                .map(Class::getClassLoader)
                .map(loader -> loader != ClassLoader.getPlatformClassLoader())
                .orElse(false));
    }
}
