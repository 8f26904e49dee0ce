package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.List;
import java.util.Set;

/**
 * Checks the operating-system user of a daemon by the owners of its socket and of the socket's directory. keytool does not
 * load the module whose class reads the peer of a socket from the kernel.
 */
final class ServerUser {
    private static final int ROOT = 0;
    private static final int STICKY = 01000;
    private static final int OTHERS_WRITE = 02;
    private static final Path PROCESS = Path.of("/proc/self");
    private static final Path OVERFLOW = Path.of("/proc/sys/kernel/overflowuid");
    private static final Path MAPPED = PROCESS.resolve("uid_map");

    private ServerUser() {}

    /**
     * Checks that this process's user, root or the owner of the socket's directory serves the socket. Another owner must
     * have the directory from root or this user: nobody else could have made it. Another user may have replaced the
     * socket, and must get no password. The files are those of now, not of the moment of the connection, so nobody else
     * may lead the path elsewhere.
     *
     * @param socket path of a connected socket to which nothing has been sent
     * @throws IOException if another user serves the socket or may replace it
     */
    static void require(Path socket) throws IOException {
        Path directory = socket.toAbsolutePath().getParent();
        int own = number(PROCESS);
        int owner = number(directory);
        int server = number(socket);
        boolean known = owner == own || owner == ROOT;
        String reason = known ? "" : replaceable(directory, owner, own);
        if (!reason.isEmpty() || server != own && server != ROOT && server != owner) {
            throw new IOException("the operating-system user " + Files.getOwner(socket).getName() + " serves " + socket
                    + ", not user " + Files.getOwner(PROCESS).getName() + (reason.isEmpty() ? "" : ", and " + reason)
                    + "; nothing was sent there");
        }
        String other = known ? redirectable(directory, own) : "";
        if (!other.isEmpty()) {
            throw new IOException("another user may replace " + socket + ": " + other + "; nothing was sent there");
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
            int owner = number(folder, LinkOption.NOFOLLOW_LINKS);
            if (owner != ROOT && owner != own && owner != server) {
                return belongs(folder);
            }
            if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
                return folder + " is not a directory";
            }
            boolean sticky = ((Integer) Files.getAttribute(folder, "unix:mode") & STICKY) != 0 && child != server;
            if (othersWrite(folder) && !sticky) {
                return "other users may write in " + folder;
            }
            child = owner;
        }
        return "";
    }

    /**
     * Returns the reason why a user other than root and this one could lead a path to another directory; empty if none
     * could. Links of these two may be on it. A group may write above it, as above a state directory.
     */
    private static String redirectable(Path directory, int own) throws IOException {
        for (Path start : List.of(directory, directory.toRealPath())) {
            for (Path entry = start; entry != null; entry = entry.getParent()) {
                int owner = number(entry, LinkOption.NOFOLLOW_LINKS);
                if (owner != ROOT && owner != own && !outside(owner)) {
                    return belongs(entry);
                }
                int mode = (Integer) Files.getAttribute(entry, "unix:mode");
                if ((mode & (OTHERS_WRITE | STICKY)) == OTHERS_WRITE) {
                    return "other users may write in " + entry;
                }
            }
        }
        return "";
    }

    /** Tells whether a number stands for users outside of this user namespace, as root is in a sandbox. */
    private static boolean outside(int user) throws IOException {
        // Not readString: its first read is of one byte, and the kernel gives such a file in one read only.
        if (user != Integer.parseInt(Files.readAllLines(OVERFLOW).get(0).trim())) {
            return false;
        }
        for (String line : Files.readAllLines(MAPPED)) {
            String[] words = line.trim().split("\\s+");
            if (Long.parseLong(words[0]) <= user && user < Long.parseLong(words[0]) + Long.parseLong(words[2])) {
                return false;
            }
        }
        return true;
    }

    private static String belongs(Path entry) throws IOException {
        return entry + " belongs to the operating-system user "
                + Files.getOwner(entry, LinkOption.NOFOLLOW_LINKS).getName();
    }

    private static boolean othersWrite(Path directory) throws IOException {
        Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(directory);
        return permissions.contains(PosixFilePermission.OTHERS_WRITE) || permissions.contains(PosixFilePermission.GROUP_WRITE);
    }

    private static int number(Path file, LinkOption... options) throws IOException {
        return (Integer) Files.getAttribute(file, "unix:uid", options);
    }
}
