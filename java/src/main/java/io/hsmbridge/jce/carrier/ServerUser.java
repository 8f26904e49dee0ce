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
    private static final int ROOT = 0;
    private static final int STICKY = 01000;
    private static final Path PROCESS = Path.of("/proc/self");

    private ServerUser() {}

    /**
     * Checks that this process's user, root or the owner of the socket's directory serves the socket. Another owner must
     * have the directory from root or this user: nobody else could have made it. Another user may have replaced the
     * socket, and must get no password.
     *
     * @param socket path of a connected socket to which nothing has been sent
     * @throws IOException if another user serves the socket or may replace it
     */
    static void require(Path socket) throws IOException {
        Path directory = socket.toAbsolutePath().getParent();
        int own = number(PROCESS);
        int owner = number(directory);
        int server = number(socket);
        String reason = owner == own || owner == ROOT ? "" : replaceable(directory, owner, own);
        if (!reason.isEmpty() || server != own && server != ROOT && server != owner) {
            throw new IOException("the operating-system user " + Files.getOwner(socket).getName() + " serves " + socket
                    + ", not user " + Files.getOwner(PROCESS).getName() + (reason.isEmpty() ? "" : ", and " + reason)
                    + "; nothing was sent there");
        }
        if (othersWrite(directory)) {
            throw new IOException("other users may replace " + socket + "; nothing was sent there; chmod go-w " + directory);
        }
    }

    /**
     * Returns the reason why a user other than the server's, root and this one could have made a directory; empty if none
     * could. Everybody may make one in a directory with the sticky bit, where it must belong to root or this user.
     */
    private static String replaceable(Path directory, int server, int own) throws IOException {
        Path real = directory.toRealPath();
        if (!real.equals(directory)) {
            return directory + " is reached through a symbolic link or `..`; its own path is " + real;
        }
        int child = server;
        for (Path folder = real; folder != null; folder = folder.getParent()) {
            int owner = number(folder);
            if (owner != ROOT && owner != own && owner != server) {
                return folder + " belongs to the operating-system user " + Files.getOwner(folder).getName();
            }
            boolean sticky = ((Integer) Files.getAttribute(folder, "unix:mode") & STICKY) != 0 && child != server;
            if (othersWrite(folder) && !sticky) {
                return "other users may write in " + folder;
            }
            child = owner;
        }
        return "";
    }

    private static boolean othersWrite(Path directory) throws IOException {
        Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(directory);
        return permissions.contains(PosixFilePermission.OTHERS_WRITE) || permissions.contains(PosixFilePermission.GROUP_WRITE);
    }

    private static int number(Path file) throws IOException {
        return (Integer) Files.getAttribute(file, "unix:uid");
    }
}
