package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.Set;

/**
 * Checks the operating-system user of a daemon by the owners of its socket and of the socket's directory. keytool does not
 * load the module whose class reads the peer of a socket from the kernel.
 */
final class ServerUser {
    private static final String ROOT = "root";
    private static final Path PROCESS = Path.of("/proc/self");

    private ServerUser() {}

    /**
     * Checks that this process's user or root serves the socket; for a process of root also the owner of the socket's
     * directory may. Another user may have replaced the socket, and must get no password.
     *
     * @param socket path of a connected socket to which nothing has been sent
     * @throws IOException if another user serves the socket or may replace it
     */
    static void require(Path socket) throws IOException {
        Path directory = socket.toAbsolutePath().getParent();
        String own = ownName();
        String owner = Files.getOwner(directory).getName();
        String server = Files.getOwner(socket).getName();
        boolean trusted = own.equals(ROOT) || owner.equals(own) || owner.equals(ROOT);
        if (!trusted || !(server.equals(own) || server.equals(ROOT) || server.equals(owner))) {
            throw new IOException("the operating-system user " + server + " serves " + socket + ", not user " + own
                    + "; nothing was sent there");
        }
        Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(directory);
        if (permissions.contains(PosixFilePermission.OTHERS_WRITE) || permissions.contains(PosixFilePermission.GROUP_WRITE)) {
            throw new IOException("other users may replace " + socket + "; nothing was sent there; chmod go-w " + directory);
        }
    }

    private static String ownName() throws IOException {
        if (Files.exists(PROCESS)) {
            return Files.getOwner(PROCESS).getName();
        }
        return ProcessHandle.current().info().user().orElse("");
    }
}
