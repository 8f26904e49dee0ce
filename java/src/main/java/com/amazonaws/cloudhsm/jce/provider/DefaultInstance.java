package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.jni.exception.ProviderInitializationException;
import java.lang.ref.WeakReference;
import java.security.Security;
import java.util.Optional;

/**
 * The rule for default providers: an application has one at a time. It is refused a second one while one is registered;
 * once that is removed, it may make another. Those that the JDK makes by itself, from a line in
 * {@code java.security}, {@code -providerclass} or a service loader, neither count nor are refused, since a tool that is
 * told of the provider twice makes two and uses one.
 */
final class DefaultInstance {
    private static WeakReference<CloudHsmProvider> ofApplication = new WeakReference<>(null);

    private DefaultInstance() {}

    /** Refuses the application's second one. */
    static synchronized void admit() throws ProviderInitializationException {
        CloudHsmProvider first = ofApplication.get();
        if (first != null && isMadeByApplication() && Security.getProvider(first.getName()) instanceof CloudHsmProvider) {
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

    /** Returns whether the JDK's own code is making an instance, which may call {@code configure} next. */
    static boolean isMadeByJdk() {
        return maker().map(DefaultInstance::isOfJdk).orElse(false);
    }

    private static boolean isMadeByApplication() {
        return maker().map(maker -> !isOfJdk(maker)).orElse(false);
    }

    private static boolean isOfJdk(Class<?> caller) {
        return caller.getClassLoader() == null || caller.getClassLoader() == ClassLoader.getPlatformClassLoader();
    }

    /** Returns who called the constructor, reflection left out; a native caller has no frame. */
    private static Optional<Class<?>> maker() {
        return StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE).walk(frames -> frames
                .<Class<?>>map(StackWalker.StackFrame::getDeclaringClass)
                .filter(caller -> caller != DefaultInstance.class && caller != CloudHsmProvider.class)
                .findFirst());
    }
}
