package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.jni.exception.ProviderInitializationException;
import java.lang.ref.WeakReference;
import java.security.Security;
import java.util.Optional;

/**
 * Limits an application to one default provider at a time. While one is registered, the application cannot create a
 * second one; after its removal it can. Instances that the JDK creates itself, from a line in {@code java.security},
 * {@code -providerclass} or a service loader, do not count and are never refused, because a tool that gets the provider
 * twice creates two and uses one.
 */
final class DefaultInstance {
    private static WeakReference<CloudHsmProvider> ofApplication = new WeakReference<>(null);

    private DefaultInstance() {}

    /**
     * Checks that the application may create an instance.
     *
     * @throws ProviderInitializationException if the application has one that is registered
     */
    static synchronized void admit() throws ProviderInitializationException {
        CloudHsmProvider first = ofApplication.get();
        if (first != null && isCreatedByApplication() && Security.getProvider(first.getName()) instanceof CloudHsmProvider) {
            throw new ProviderInitializationException("The CloudHSM provider is already initialized: use"
                    + " Security.getProvider(\"" + first.getName() + "\"), or create one with a CloudHsmProviderConfig");
        }
    }

    /** Keeps the instance if the application created it. */
    static synchronized void created(CloudHsmProvider provider) {
        if (isCreatedByApplication()) {
            ofApplication = new WeakReference<>(provider);
        }
    }

    /** Returns whether code of the JDK creates the instance, which may call {@code configure} next. */
    static boolean isCreatedByJdk() {
        return creator().map(DefaultInstance::isOfJdk).orElse(false);
    }

    private static boolean isCreatedByApplication() {
        return creator().map(creator -> !isOfJdk(creator)).orElse(false);
    }

    private static boolean isOfJdk(Class<?> caller) {
        return caller.getClassLoader() == null || caller.getClassLoader() == ClassLoader.getPlatformClassLoader();
    }

    /** Returns the class that called the constructor, without reflection frames; a native caller has no frame. */
    private static Optional<Class<?>> creator() {
        return StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE).walk(frames -> frames
                .<Class<?>>map(StackWalker.StackFrame::getDeclaringClass)
                .filter(caller -> caller != DefaultInstance.class && caller != CloudHsmProvider.class)
                .findFirst());
    }
}
