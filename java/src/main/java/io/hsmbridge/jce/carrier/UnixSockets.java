package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.ProtocolFamily;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;

/**
 * The Unix sockets of Java 16 and later, by reflection, so that Java 11 loads this class. A class for newer versions in
 * the jar would be lost where the jar is packed into an application's jar.
 */
final class UnixSockets {
    private static final Method ADDRESS = method("java.net.UnixDomainSocketAddress", "of", Path.class);
    private static final Method OPEN = method("java.nio.channels.SocketChannel", "open", ProtocolFamily.class);

    private UnixSockets() {}

    private static Method method(String owner, String name, Class<?> parameter) {
        try {
            return Class.forName(owner).getMethod(name, parameter);
        } catch (ReflectiveOperationException e) {
            return null;
        }
    }

    /**
     * Returns the address of a socket.
     *
     * @throws IOException if this Java has no Unix sockets, or the path is too long
     */
    static SocketAddress address(Path path) throws IOException {
        if (ADDRESS == null || OPEN == null) {
            throw new IOException("Java " + System.getProperty("java.specification.version") + " has no Unix sockets, which"
                    + " need Java 16; reach the HSM over TLS (`hsm start --listen`)");
        }
        return (SocketAddress) call(ADDRESS, path);
    }

    /**
     * Returns an unconnected channel.
     *
     * @throws IOException if there is no descriptor for it
     */
    static SocketChannel open() throws IOException {
        return (SocketChannel) call(OPEN, StandardProtocolFamily.valueOf("UNIX"));
    }

    private static Object call(Method method, Object argument) throws IOException {
        try {
            return method.invoke(null, argument);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof IOException) {
                throw (IOException) e.getCause();
            }
            throw new IOException(e.getCause().getMessage(), e.getCause());
        } catch (IllegalAccessException e) {
            throw new IOException(e);
        }
    }
}
