package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.net.BindException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.SocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/** The Unix socket of a daemon on this machine. */
final class UnixEndpoint implements Endpoint {
    /** Pause before the next attempt if the daemon's queue of connections is full. */
    private static final Duration QUEUE_FULL = Duration.ofMillis(20);

    private final Path path;
    private final String tried;
    private final boolean chosen;

    /**
     * Creates an endpoint.
     *
     * @param path path of the socket
     * @param tried origin of the path, for messages
     * @param chosen whether a configuration names the socket
     */
    UnixEndpoint(Path path, String tried, boolean chosen) {
        this.path = path;
        this.tried = tried;
        this.chosen = chosen;
    }

    @Override
    public SocketLink open(Duration limit) throws IOException {
        try {
            return opened(UnixSockets.address(path), limit);
        } catch (SocketTimeoutException e) {
            throw e;
        } catch (BindException e) {
            throw new NoHsmException("This operating-system user may not connect to " + path + " (" + tried + "): "
                    + e.getMessage() + ". The owner of the socket may, and the members of its group.", e, chosen);
        } catch (IOException | IllegalArgumentException e) {
            throw new NoHsmException("No HSM answers at " + path + " (" + tried + "): " + e.getMessage()
                    + ". `hsm start` starts one; HSM_HOME, HSM_SOCKET or the system property hsmbridge.socket say where"
                    + " it listens.", e, chosen);
        }
    }

    private SocketLink opened(SocketAddress address, Duration limit) throws IOException {
        long end = System.nanoTime() + limit.toNanos();
        do {
            SocketLink link = tryToOpen(address, limit);
            if (link != null) {
                return link;
            }
            Uninterrupted.sleep(QUEUE_FULL);
        } while (System.nanoTime() < end);
        throw new SocketTimeoutException(describe() + " has accepted no connection for " + SocketLink.seconds(limit));
    }

    /**
     * Returns a new connection, or null if the daemon's queue of connections is full. The kernel's own wait for a place
     * in it cannot be interrupted.
     *
     * @throws BindException if this user may not connect (EACCES)
     */
    private SocketLink tryToOpen(SocketAddress address, Duration limit) throws IOException {
        SocketChannel channel = UnixSockets.open();
        SocketLink link = null;
        try {
            channel.configureBlocking(false);
            if (channel.connect(address)) {
                ServerUser.require(path);
                link = new SocketLink(new PlainStream(channel), describe(), limit);
            }
            return link;
        } catch (SocketException e) {
            // Java has a subclass of SocketException for a missing daemon, and none for a full queue.
            if (e.getClass() != SocketException.class || !Files.exists(path)) {
                throw e;
            }
            return null;
        } finally {
            if (link == null) {
                channel.close();
            }
        }
    }

    @Override
    public String describe() {
        return "the HSM at " + path;
    }
}
